// Package node assembles one running node, and supervises it.
package node
