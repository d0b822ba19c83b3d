package sqlite

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"zombiezen.com/go/sqlite"

	"clientes/store"
)

// explain returns a [*store.PlaceError] if an error of a start is about the place of the database:
// its folder, its disk, and who may use its files. SQLite says little more than that it cannot open
// one of them. To any other error it adds what was being done.
func explain(path, doing string, err error) error {
	if bad := (*store.PlaceError)(nil); errors.As(err, &bad) {
		return bad
	}
	if bad := (*badFileError)(nil); errors.As(err, &bad) {
		return bad // which names the path
	}
	if fault, cure := faultAt(path, err); fault != "" {
		return &store.PlaceError{Fault: fault, Cure: cure, Err: err}
	}
	return fmt.Errorf("%s: %w", doing, err)
}

// faultAt looks for the cause of an error at the path.
func faultAt(path string, err error) (fault, cure string) {
	full := errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
	switch codeOf(err).ToPrimary() {
	case sqlite.ResultFull:
		full = true
	case sqlite.ResultCantOpen, sqlite.ResultReadOnly, sqlite.ResultPerm, sqlite.ResultAuth,
		sqlite.ResultIOErr:
	default:
		if !full && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, fs.ErrPermission) &&
			!errors.Is(err, syscall.EROFS) && !errors.Is(err, syscall.ENOTDIR) &&
			!errors.Is(err, syscall.EISDIR) {
			return "", ""
		}
	}
	folder := filepath.Dir(path)
	if fault, cure := faultOfFolder(folder, path); fault != "" {
		return fault, cure
	}
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		return path + " is a folder", "name a file in it in DATABASE_URL, for example sqlite:" +
			filepath.Join(path, "clientes.db")
	}
	access := writable(folder)
	if errors.Is(access, syscall.EROFS) || errors.Is(err, syscall.EROFS) {
		return "the file system of " + folder + " is read-only",
			"mount it writable, or name a file elsewhere in DATABASE_URL"
	}
	if files, closed := closedFiles(path); closed != "" {
		return fmt.Sprintf("%s belongs to %s, and %s may not read and write it", closed,
				ownerOf(closed), thisUser()),
			fmt.Sprintf("as root, chown %s %s", thisUser(), strings.Join(files, " "))
	}
	if access != nil {
		return fmt.Sprintf("the folder %s belongs to %s, and %s may not make files in it", folder,
				ownerOf(folder), thisUser()),
			fmt.Sprintf("as root, chown %s %s, or name a file elsewhere in DATABASE_URL",
				thisUser(), folder)
	}
	if full || hasNoRoom(folder) {
		return "there is no room on the disk of " + folder,
			"make room on it, or name a file on another disk in DATABASE_URL"
	}
	return "", ""
}

// faultOfFolder returns what is wrong with the folder of the path, if it is no folder.
func faultOfFolder(folder, path string) (fault, cure string) {
	const elsewhere = ", or name another file in DATABASE_URL"
	info, err := os.Stat(folder)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "there is no folder " + folder, "make it" + elsewhere
	case errors.Is(err, syscall.ENOTDIR), err == nil && !info.IsDir():
		file := folder
		for {
			if info, err := os.Stat(file); err == nil && !info.IsDir() {
				return fmt.Sprintf("%s is a file, and no folder for %s", file, path),
					"correct DATABASE_URL"
			}
			if up := filepath.Dir(file); up != file {
				file = up
				continue
			}
			return "", ""
		}
	case errors.Is(err, fs.ErrPermission):
		return fmt.Sprintf("%s may not look into the folder %s", thisUser(), folder),
			"as its owner, let that user in" + elsewhere
	}
	return "", ""
}

// closedFiles returns the files of the database, and the first of them that this user may not read
// and write.
func closedFiles(path string) (files []string, closed string) {
	for _, suffix := range []string{"", "-wal", "-shm", ".lock"} {
		if _, err := os.Stat(path + suffix); err != nil {
			continue
		}
		files = append(files, path+suffix)
		if closed == "" && usableFile(path+suffix) != nil {
			closed = path + suffix
		}
	}
	return files, closed
}

// hasNoRoom reports whether a small file finds no room in a folder.
func hasNoRoom(folder string) bool {
	file, err := os.CreateTemp(folder, ".clientes-room-")
	if err == nil {
		defer os.Remove(file.Name())
		_, err = file.Write(make([]byte, room))
		err = errors.Join(err, file.Close())
	}
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}

// thisUser returns the name of the user that runs this program.
func thisUser() string { return userName(strconv.Itoa(os.Geteuid())) }

// userName returns the name of a user, or what to call one without a name.
func userName(id string) string {
	if u, err := user.LookupId(id); err == nil {
		return u.Username
	}
	return "user " + id
}
