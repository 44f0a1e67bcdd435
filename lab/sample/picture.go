package sample

import (
	"bufio"
	"fmt"
	"image"
	"image/color"
	"image/gif"
	"image/png"
	"math"
	"math/cmplx"
	"math/rand/v2"
	"os"
	"path/filepath"
)

// rgb is a colour with parts from 0 to 1.
type rgb [3]float64

func mix(a, b rgb, t float64) rgb {
	t = min(max(t, 0), 1)
	for i := range a {
		a[i] += (b[i] - a[i]) * t
	}
	return a
}

func (c rgb) pixel(grain float64) color.RGBA {
	part := func(v float64) uint8 { return uint8(min(max((v+grain)*255, 0), 255)) }
	return color.RGBA{part(c[0]), part(c[1]), part(c[2]), 255}
}

// A mood is the light of a landscape.
type mood struct {
	name                  string
	high, low, sun, ridge rgb
}

var moods = []mood{
	{"Evening", rgb{.16, .18, .38}, rgb{.98, .62, .38}, rgb{1, .9, .7}, rgb{.12, .10, .22}},
	{"Morning", rgb{.45, .66, .86}, rgb{.99, .90, .76}, rgb{1, 1, .93}, rgb{.18, .30, .33}},
	{"Noon", rgb{.20, .50, .82}, rgb{.78, .90, .95}, rgb{1, 1, 1}, rgb{.14, .36, .24}},
	{"Night", rgb{.02, .03, .09}, rgb{.12, .18, .33}, rgb{.92, .94, 1}, rgb{.02, .03, .06}},
	{"Autumn", rgb{.55, .52, .56}, rgb{.97, .80, .55}, rgb{1, .86, .6}, rgb{.36, .17, .09}},
	{"Winter", rgb{.56, .66, .76}, rgb{.93, .95, .98}, rgb{1, 1, 1}, rgb{.36, .46, .56}},
}

func hills(dir string, r *rand.Rand, again string) (string, error) {
	name := "Evening over the hills" + again + ".png"
	return name, savePNG(filepath.Join(dir, name), landscape(r, moods[0], 1280, 800))
}

func postcards(dir string, r *rand.Rand, again string) (string, error) {
	name := "Postcards" + again
	if err := os.MkdirAll(filepath.Join(dir, name), 0o755); err != nil {
		return "", err
	}
	for _, m := range moods {
		if err := savePNG(filepath.Join(dir, name, m.name+".png"), landscape(r, m, 560, 360)); err != nil {
			return "", err
		}
	}
	return name, nil
}

// landscape draws ridges behind ridges, each bluer the farther it is, below a sky with a sun.
func landscape(r *rand.Rand, m mood, w, h int) image.Image {
	const ridges = 5
	var waves [ridges][4][2]float64 // length and phase
	for i := range waves {
		for j := range waves[i] {
			waves[i][j] = [2]float64{(0.7 + r.Float64()) * float64(int(2)<<j), r.Float64() * 2 * math.Pi}
		}
	}
	sunX, sunY := 0.2+0.6*r.Float64(), 0.22+0.2*r.Float64()
	img := image.NewRGBA(image.Rect(0, 0, w, h))
	for px := range w {
		x := float64(px) / float64(w)
		var tops [ridges]float64
		for i := range tops {
			tops[i] = 0.48 + 0.11*float64(i)
			for j, wave := range waves[i] {
				tops[i] -= 0.07 / float64(int(1)<<j) * math.Sin(x*wave[0]*2+wave[1])
			}
		}
		for py := range h {
			y := float64(py) / float64(h)
			c := mix(m.high, m.low, y*1.7)
			far := math.Hypot((x-sunX)*float64(w)/float64(h), y-sunY)
			c = mix(c, m.sun, 0.5*math.Exp(-far*far*18))
			if far < 0.05 {
				c = m.sun
			}
			for i, top := range tops {
				if y > top {
					c = mix(m.low, m.ridge, 0.30+0.16*float64(i)-0.25*(y-top))
				}
			}
			img.SetRGBA(px, py, c.pixel((r.Float64()-0.5)*0.02))
		}
	}
	return img
}

// fractal draws a corner of the Mandelbrot set.
func fractal(dir string, r *rand.Rand, again string) (string, error) {
	const w, h, most = 960, 640, 300
	corners := []struct {
		at   complex128
		size float64
	}{{-0.7436 + 0.1318i, 0.012}, {-0.1011 + 0.9563i, 0.02}, {0.2853 + 0.0115i, 0.012}, {-1.2500 + 0.0200i, 0.03}}
	corner := corners[r.IntN(len(corners))]
	img := image.NewRGBA(image.Rect(0, 0, w, h))
	for py := range h {
		for px := range w {
			c := corner.at + complex((float64(px)/w-0.5)*corner.size*w/h, (float64(py)/h-0.5)*corner.size)
			z, n := c, 0
			for ; n < most && real(z)*real(z)+imag(z)*imag(z) < 64; n++ {
				z = z*z + c
			}
			shade := rgb{.03, .04, .10}
			if n < most {
				t := float64(n) + 2 - math.Log2(math.Log(cmplx.Abs(z)))
				for i := range shade {
					shade[i] = 0.5 + 0.5*math.Cos(0.12*t+[]float64{3.2, 3.9, 4.8}[i])
				}
			}
			img.SetRGBA(px, py, shade.pixel(0))
		}
	}
	name := "Seahorse valley" + again + ".png"
	return name, savePNG(filepath.Join(dir, name), img)
}

// life plays Conway's game from a random start and films it.
func life(dir string, r *rand.Rand, again string) (string, error) {
	const w, h, zoom, frames = 120, 80, 3, 300
	palette := color.Palette{color.RGBA{18, 22, 34, 255}, color.RGBA{40, 60, 92, 255}, color.RGBA{250, 204, 120, 255}}
	var cells [h][w]bool
	for y := range cells {
		for x := range cells[y] {
			cells[y][x] = r.IntN(3) == 0
		}
	}
	film := &gif.GIF{}
	for range frames {
		frame := image.NewPaletted(image.Rect(0, 0, w*zoom, h*zoom), palette)
		next := cells
		for y := range cells {
			for x := range cells[y] {
				around := 0
				for _, d := range [8][2]int{{-1, -1}, {-1, 0}, {-1, 1}, {0, -1}, {0, 1}, {1, -1}, {1, 0}, {1, 1}} {
					if cells[(y+d[0]+h)%h][(x+d[1]+w)%w] {
						around++
					}
				}
				next[y][x] = around == 3 || cells[y][x] && around == 2
				if !cells[y][x] && !next[y][x] {
					continue
				}
				shade := uint8(1) // it dies, or is being born
				if cells[y][x] {
					shade = 2
				}
				for i := range zoom * zoom {
					frame.SetColorIndex(x*zoom+i%zoom, y*zoom+i/zoom, shade)
				}
			}
		}
		cells = next
		film.Image = append(film.Image, frame)
		film.Delay = append(film.Delay, 8)
	}
	name := "Game of life" + again + ".gif"
	return name, write(filepath.Join(dir, name), func(f *os.File) error { return gif.EncodeAll(f, film) })
}

// stars draws a map of a sky that nobody has seen.
func stars(dir string, r *rand.Rand, again string) (string, error) {
	const size, count = 2000, 12_000
	name := "Star map" + again + ".svg"
	return name, write(filepath.Join(dir, name), func(f *os.File) error {
		w := bufio.NewWriter(f)
		fmt.Fprintf(w, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d"><rect width="100%%" height="100%%" fill="#0b1026"/>`+"\n", size, size)
		for i := 1; i <= 9; i++ {
			fmt.Fprintf(w, `<circle cx="%d" cy="%d" r="%d" fill="none" stroke="#fff" stroke-opacity=".12"/>`+"\n", size/2, size/2, i*size/20)
		}
		for range count {
			angle, far := r.Float64()*2*math.Pi, math.Sqrt(r.Float64())*size*0.48
			bright := math.Pow(r.Float64(), 12)
			tint := []string{"#fff", "#cfe0ff", "#ffe6c0"}[r.IntN(3)]
			fmt.Fprintf(w, `<circle cx="%.2f" cy="%.2f" r="%.2f" fill="%s" fill-opacity="%.2f"/>`+"\n",
				size/2+far*math.Cos(angle), size/2+far*math.Sin(angle), 0.6+4*bright, tint, 0.35+0.65*bright)
		}
		w.WriteString("</svg>\n")
		return w.Flush()
	})
}

func savePNG(path string, img image.Image) error {
	return write(path, func(f *os.File) error {
		w := bufio.NewWriter(f)
		if err := (&png.Encoder{CompressionLevel: png.BestSpeed}).Encode(w, img); err != nil {
			return err
		}
		return w.Flush()
	})
}
