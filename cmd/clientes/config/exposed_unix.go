//go:build unix

package config

import (
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// exposureOf returns what other users of the machine can do with an open file. Pipes and devices
// are nobody's to replace.
//
// A group of the same number as the owner is the owner's own: many systems give each user one, and
// make files that it can write. The group of a folder does not count, since teams share folders.
func exposureOf(path string, f *os.File) exposure {
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return exposure{}
	}
	at, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return exposure{}
	}
	mode, ownGroup := info.Mode().Perm(), at.Gid == at.Uid
	e := exposure{
		written: mode&0o002 != 0 || mode&0o020 != 0 && !ownGroup,
		read:    mode&0o004 != 0,
		ours:    int(at.Uid) == os.Geteuid(),
	}
	folders := []string{filepath.Dir(path)}
	if target, err := filepath.EvalSymlinks(path); err == nil {
		folders = append(folders, filepath.Dir(target))
	}
	for _, folder := range folders {
		info, err := os.Stat(folder)
		if err != nil || info.Mode().Perm()&0o002 == 0 {
			continue
		}
		// In a sticky folder, such as /tmp, only its owner can replace a file.
		sticky := info.Mode()&fs.ModeSticky != 0
		if !sticky || !e.ours && at.Uid != 0 {
			e.replaced = true
		}
	}
	return e
}
