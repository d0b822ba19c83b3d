//go:build !linux

package main

import (
	"errors"
	"os"
)

func namelessFile(string) (*os.File, error) { return nil, errors.ErrUnsupported }

func nameFile(*os.File, string) error { return errors.ErrUnsupported }
