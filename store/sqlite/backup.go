package sqlite

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"zombiezen.com/go/sqlite"

	"clientes/store"
)

// Backup describes a backup that was made or restored.
type Backup struct {
	Size     int64
	SHA256   [sha256.Size]byte // zero if it was restored
	Users    int64
	Clientes int64
}

// fullCheck is the size up to which a backup gets an integrity_check. A larger one gets a
// quick_check, which does not compare the indexes with their tables and takes a fraction of the
// time.
const fullCheck = 1 << 30

// WriteBackup writes everything that is committed in the database to a new file, and returns what
// is in there when it was checked and is on the disk. Nobody who writes to the database waits for
// it. The file gets its name at the end, so a failed backup leaves none. If a backup has that name,
// it is replaced; WriteBackup refuses to replace anything else. Only the owner may read the file.
//
// It calls progress now and then with how many bytes of about how many are written.
func WriteBackup(ctx context.Context, databaseURL, to string,
	progress func(done, total int64)) (Backup, error) {
	path, err := pathOf(databaseURL)
	if err != nil {
		return Backup{}, err
	}
	if to, err = filepath.Abs(to); err != nil {
		return Backup{}, err
	}
	if to, err = throughLinks(to); err != nil {
		return Backup{}, err
	}
	if err := mayReplace(path, to); err != nil {
		return Backup{}, err
	}
	temporary, err := os.CreateTemp(filepath.Dir(to), ".clientes-backup-")
	if err != nil {
		return Backup{}, fmt.Errorf("%s cannot be written; its folder must exist, and this user "+
			"must be allowed to write there: %w", to, errors.Unwrap(err))
	}
	temporary.Close()
	defer os.Remove(temporary.Name()) // or it has its name by then
	b, err := writeBackup(ctx, path, temporary.Name(), progress)
	if err != nil {
		return Backup{}, err
	}
	if err := os.Rename(temporary.Name(), to); err != nil {
		return Backup{}, err
	}
	if err := syncFolder(filepath.Dir(to)); err != nil {
		return Backup{}, err
	}
	noteBackup(path)
	return b, nil
}

// CopyBackup is [WriteBackup] to a stream. It needs as much room in the folder of temporary files.
func CopyBackup(ctx context.Context, databaseURL string, to io.Writer,
	progress func(done, total int64)) (Backup, error) {
	path, err := pathOf(databaseURL)
	if err != nil {
		return Backup{}, err
	}
	temporary, err := os.CreateTemp("", ".clientes-backup-")
	if err != nil {
		return Backup{}, err
	}
	defer os.Remove(temporary.Name())
	defer temporary.Close()
	b, err := writeBackup(ctx, path, temporary.Name(), progress)
	if err != nil {
		return Backup{}, err
	}
	if _, err := io.Copy(to, temporary); err != nil {
		return Backup{}, fmt.Errorf("write the backup: %w", err)
	}
	noteBackup(path)
	return b, nil
}

// throughLinks returns the file that a symbolic link leads to, whether or not it exists. A backup
// that replaced the link would be on another disk than was meant.
func throughLinks(path string) (string, error) {
	const most = 40 // as Linux follows
	for range most {
		to, err := os.Readlink(path)
		if err != nil { // it is no link
			return path, nil
		}
		if !filepath.IsAbs(to) {
			to = filepath.Join(filepath.Dir(path), to)
		}
		path = to
	}
	return "", fmt.Errorf("%s: too many symbolic links", path)
}

// mayReplace returns an error if path is a file beside the database that SQLite or this program
// reads, or if there is a file of that name that is no backup. The database has no mark of one.
func mayReplace(database, path string) error {
	for _, suffix := range []string{"-wal", "-shm", "-journal", ".lock", ".restoring", backupNote} {
		if path == database+suffix {
			return fmt.Errorf("%s is a name that the database itself uses; give another one", path)
		}
	}
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case !info.Mode().IsRegular():
		return fmt.Errorf("%s is not a file; give the name of a file, or - for standard output", path)
	case info.Size() == 0:
		return nil
	}
	if checkFile(path) == nil {
		if h, err := headerBeside(path); err == nil && h.mark == backupMark {
			return nil
		}
	}
	return fmt.Errorf("%s is there already and is no backup; give another name", path)
}

// writeBackup writes a checked backup to an empty file.
func writeBackup(ctx context.Context, path, to string,
	progress func(done, total int64)) (b Backup, err error) {
	// The connection would make the file.
	if _, err := os.Stat(path); err != nil {
		return Backup{}, fmt.Errorf("%w: %w", store.ErrUnavailable, err)
	}
	if _, err := checkPair(path); err != nil {
		return Backup{}, err
	}
	conn, err := connect(ctx, path, callTimeout)
	if err != nil {
		return Backup{}, fmt.Errorf("open %s: %w", path, err)
	}
	defer conn.Close()
	total, err := one(conn, scanInteger, `
		SELECT page_count * page_size
		FROM pragma_page_count, pragma_page_size`)
	if err != nil {
		return Backup{}, fmt.Errorf("read %s: %w", path, err)
	}
	conn.SetInterrupt(ctx.Done())
	err = watchSize(to, total, progress, func() error { return vacuumInto(conn, to) })
	conn.SetInterrupt(nil)
	switch {
	case ctx.Err() != nil:
		return Backup{}, ctx.Err()
	case err != nil:
		return Backup{}, fmt.Errorf("copy the database: %w", err)
	}
	if err := markAndCheck(ctx, to, &b); err != nil {
		return Backup{}, fmt.Errorf("check the copy: %w", err)
	}
	b.SHA256, b.Size, err = sumOf(to)
	return b, err
}

// markAndCheck makes a copy of a database a backup.
func markAndCheck(ctx context.Context, path string, b *Backup) error {
	conn, err := connect(ctx, path, callTimeout)
	if err != nil {
		return err
	}
	err = errors.Join(
		exec(conn, `PRAGMA application_id = `+strconv.Itoa(backupMark)),
		checkWhole(ctx, path, conn, b))
	if err := errors.Join(err, conn.Close()); err != nil {
		return err
	}
	return syncFile(path)
}

// checkWhole returns an error if the file is damaged or is no database of this program. It counts
// what is in there.
func checkWhole(ctx context.Context, path string, conn *sqlite.Conn, b *Backup) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	check := "integrity_check"
	if info.Size() > fullCheck {
		check = "quick_check"
	}
	if err := checkIntegrity(ctx, conn, check); err != nil {
		return fmt.Errorf("it is damaged: %w", err)
	}
	b.Size = info.Size()
	for table, count := range map[string]*int64{"users": &b.Users, "clientes": &b.Clientes} {
		if *count, err = one(conn, scanInteger, `SELECT count(*) FROM `+table); err != nil {
			return fmt.Errorf("it is no database of clientes: %w", err)
		}
	}
	return nil
}

func sumOf(path string) (sum [sha256.Size]byte, size int64, err error) {
	file, err := os.Open(path)
	if err != nil {
		return sum, 0, err
	}
	defer file.Close()
	hash := sha256.New()
	if size, err = io.Copy(hash, file); err != nil {
		return sum, 0, err
	}
	hash.Sum(sum[:0])
	return sum, size, nil
}

// watchSize calls progress while do writes to a file.
func watchSize(path string, total int64, progress func(done, total int64), do func() error) error {
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		tick := time.NewTicker(100 * time.Millisecond)
		defer tick.Stop()
		for {
			if info, err := os.Stat(path); err == nil {
				progress(min(info.Size(), total), total)
			}
			select {
			case <-stop:
				return
			case <-tick.C:
			}
		}
	}()
	defer func() {
		close(stop)
		<-stopped
	}()
	return do()
}
