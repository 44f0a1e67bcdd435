// Package identity holds a person and the devices that act for them.
package identity

// Identity is this device's key and what it knows of its person.
type Identity struct{}
