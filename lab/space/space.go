// Package space makes network namespaces: rooms in one computer's kernel, each with network devices of its own and no way out but those that are put in.
//
// A namespace made here has no name. It lives as long as something holds it open, and ends with the process that made it, also when
// that is killed: nothing is ever left to sweep.
package space
