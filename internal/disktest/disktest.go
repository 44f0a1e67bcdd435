// Package disktest gives a test small disks of its own, to be filled to the last byte.
//
// It knows nothing of what is tested on them. Its one idea: they are file systems in memory, in a mount namespace that ends with the
// process that made them, so that nothing of them is left, whatever happens.
package disktest
