import { svelte } from '@sveltejs/vite-plugin-svelte'
import { defineConfig } from 'vite'
import { mock } from './dev/mock.ts'

// The build is the same bytes for the same source: names carry a hash of the content, nothing carries a time.
export default defineConfig({
  base: './',
  plugins: [svelte(), mock()],
  build: {
    outDir: '../dist',
    emptyOutDir: true,
    target: 'es2022',
    assetsInlineLimit: 0, // the content security policy allows no data: URL but for images
    modulePreload: false, // its polyfill is an inline script
    reportCompressedSize: true,
  },
})
