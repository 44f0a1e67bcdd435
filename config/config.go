// Package config reads a node's one file of settings, config.toml in the data directory.
//
// It is useful with no file at all, and holds no state: what the node learns is not configuration. Its one idea: a setting that means
// nothing is an error that names it and its line, so that a slip of the pen is never silently a default.
package config
