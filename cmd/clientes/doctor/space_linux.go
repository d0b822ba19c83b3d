package doctor

import "golang.org/x/sys/unix"

// freeSpace returns how many bytes this user may still write to the file system of a folder.
func freeSpace(folder string) (int64, error) {
	var at unix.Statfs_t
	if err := unix.Statfs(folder, &at); err != nil {
		return 0, err
	}
	return int64(at.Bavail) * at.Bsize, nil
}
