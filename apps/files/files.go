// Package files shares files and folders, and fetches them.
package files
