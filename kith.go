// Package kith holds the vocabulary of the system: what content is called (Ref), how it is handed from person to
// person (Link), and the kinds of error that every face and every peer understands (Kind). It does nothing by itself,
// and imports no other package of the module.
package kith
