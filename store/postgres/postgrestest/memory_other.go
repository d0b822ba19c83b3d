//go:build !linux

package postgrestest

// memoryFolder returns "": not every system has a folder in memory.
func memoryFolder() string { return "" }
