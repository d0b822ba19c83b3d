package sqlite_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	engine "zombiezen.com/go/sqlite"

	"clientes/store"
	"clientes/store/sqlite"
	"clientes/store/storetest"
)

// serveForEver writes and polls as a server does. It prints what it was answered.
func serveForEver(url string) error {
	ctx := context.Background()
	if err := sqlite.Migrate(ctx, url); err != nil {
		return err
	}
	s, err := sqlite.Open(ctx, url, store.Options{CallTimeout: 5 * time.Minute})
	if err != nil {
		return err
	}
	for w := range 8 {
		go func() {
			for i := 0; ; i++ {
				c, err := s.CreateCliente(ctx, 0,
					store.Cliente{Name: fmt.Sprintf("%d %d/%d", os.Getpid(), w, i)})
				if err == nil {
					os.Stdout.WriteString(fmt.Sprint(c.ID, c.Name) + "\n")
				}
			}
		}()
	}
	for ; ; time.Sleep(20 * time.Millisecond) {
		s.SessionEnds(ctx, "", nil) // it reports a fault to nobody here
	}
}

// checkpointForEver does what Litestream does, and more often.
func checkpointForEver(url string) error {
	conn, err := engine.OpenConn(strings.TrimPrefix(url, "sqlite:"), engine.OpenReadWrite)
	if err != nil {
		return err
	}
	for {
		for _, kind := range []string{"PASSIVE", "FULL", "RESTART", "TRUNCATE"} {
			stmt, _, err := conn.PrepareTransient("PRAGMA wal_checkpoint(" + kind + ")")
			if err != nil {
				return err
			}
			stmt.Step() // it may be busy
			stmt.Finalize()
			time.Sleep(time.Duration(rand.IntN(20)) * time.Millisecond)
		}
	}
}

// importForEver writes transactions that do not fit into the cache, so that SQLite writes pages to
// the WAL that are not committed yet.
func importForEver(url string) error {
	s, err := sqlite.Open(context.Background(), url, store.Options{CallTimeout: 5 * time.Minute})
	if err != nil {
		return err
	}
	rows := func(yield func(store.Cliente, error) bool) {
		c := store.Cliente{Name: "imported", Notes: strings.Repeat("x", 2000)}
		for range 3000 {
			if !yield(c, nil) {
				return
			}
		}
	}
	for {
		// While another process writes it may wait in vain.
		_, err := s.ImportClientes(context.Background(), 0, rows)
		if err != nil && !errors.Is(err, store.ErrUnavailable) {
			return err
		}
		time.Sleep(50 * time.Millisecond) // the others want to write, too
	}
}

// killed runs children on the database, kills them after some answers of the first, and returns its
// answers.
func killed(t *testing.T, url string, answers int, names ...string) map[string]bool {
	t.Helper()
	var running []*exec.Cmd
	var out io.Reader
	for i, name := range names {
		child := startChild(t, name, url)
		child.Stderr = os.Stderr
		if i == 0 {
			pipe, err := child.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			out = pipe
		}
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		running = append(running, child)
	}
	answered := make(map[string]bool)
	for lines := bufio.NewScanner(out); lines.Scan(); {
		answered[lines.Text()] = true
		if len(answered) == answers {
			for _, child := range running {
				child.Process.Kill()
			}
		}
	}
	for _, child := range running {
		child.Process.Kill()
		child.Wait()
	}
	return answered
}

// wantThere reports answers that are not in the database.
func wantThere(t *testing.T, url string, answered map[string]bool) {
	t.Helper()
	s, err := sqlite.Open(t.Context(), url, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	left := maps.Clone(answered)
	err = s.EachCliente(t.Context(), store.Selection{}, func(c store.Cliente) error {
		delete(left, fmt.Sprint(c.ID, c.Name))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(left) > 0 {
		t.Errorf("%d of %d answers are not there", len(left), len(answered))
	}
}

// TestNoKillMakesADatabaseRefused kills whoever writes, checkpoints and imports, again and again. A
// WAL that such an end leaves belongs to its file.
func TestNoKillMakesADatabaseRefused(t *testing.T) {
	t.Parallel()
	url := emptyURL(t)
	answered := make(map[string]bool)
	casts := [][]string{
		{"serve"},
		{"serve", "serve"},
		{"serve", "checkpoint"},
		{"serve", "serve", "checkpoint"},
		{"serve", "import", "checkpoint"},
	}
	left := 0
	for round := range storetest.Rounds(t, len(casts)) {
		if round > 0 && round%20 == 0 { // a young database has nearly everything in the WAL
			url, answered = emptyURL(t), make(map[string]bool)
		}
		if err := sqlite.Migrate(t.Context(), url); err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		cast := casts[round%len(casts)]
		answers := 1 + rand.IntN(300)
		if slices.Contains(cast, "import") { // which leaves the others little time
			answers = 1 + rand.IntN(20)
		}
		maps.Copy(answered, killed(t, url, answers, cast...))
		if info, err := os.Stat(strings.TrimPrefix(url, "sqlite:") + "-wal"); err == nil &&
			info.Size() > 0 {
			left++
		}
		if _, err := sqlite.Schema(t.Context(), url); err != nil {
			t.Fatalf("round %d, %v: %v", round, cast, err)
		}
	}
	if err := sqlite.Migrate(t.Context(), url); err != nil {
		t.Fatal(err)
	}
	wantThere(t, url, answered)
	if left == 0 {
		t.Error("no kill left a WAL")
	}
	t.Logf("%d kills left a WAL", left)
}

// TestAWALThatIsRemovedUnderAServerLosesNothing removes files of a server under load and kills it.
func TestAWALThatIsRemovedUnderAServerLosesNothing(t *testing.T) {
	t.Parallel()
	for name, suffixes := range map[string][]string{
		"the WAL":           {"-wal"},
		"its index":         {"-shm"},
		"both":              {"-wal", "-shm"},
		"the WAL, replaced": {"-wal", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url := migratedURL(t)
			path := strings.TrimPrefix(url, "sqlite:")
			child := startChild(t, "serve", url)
			out, err := child.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := child.Start(); err != nil {
				t.Fatal(err)
			}
			answered := make(map[string]bool)
			lines := bufio.NewScanner(out)
			read := func(n int) {
				for ; n > 0 && lines.Scan(); n-- {
					answered[lines.Text()] = true
				}
			}
			for range 5 {
				read(200)
				for _, suffix := range suffixes {
					if suffix != "" {
						os.Remove(path + suffix)
						continue
					}
					if err := os.WriteFile(path+"-wal", []byte("other"), 0o600); err != nil {
						t.Error(err)
					}
				}
			}
			read(500)
			child.Process.Kill()
			read(1 << 20)
			child.Wait()
			if len(answered) < 1500 {
				t.Errorf("only %d were answered", len(answered))
			}
			if err := sqlite.Migrate(t.Context(), url); err != nil {
				t.Fatal(err)
			}
			wantThere(t, url, answered)
		})
	}
}

// TestWhatWasAnsweredIsInTheFileAsSoonAsTheWALIsMissed copies the file alone, as if the process had
// been killed at that moment.
func TestWhatWasAnsweredIsInTheFileAsSoonAsTheWALIsMissed(t *testing.T) {
	t.Parallel()
	url := migratedURL(t)
	path := strings.TrimPrefix(url, "sqlite:")
	s := open(t, url)
	names := make(map[string]bool)
	create := func(n int) {
		t.Helper()
		for range n {
			c, err := s.CreateCliente(t.Context(), 0, store.Cliente{Name: "x"})
			if err != nil {
				t.Fatal(err)
			}
			names[fmt.Sprint(c.ID, c.Name)] = true
		}
	}
	fileAlone := func() string {
		t.Helper()
		to := filepath.Join(t.TempDir(), "alone.db")
		copyTo(t, path, to)
		return "sqlite:" + to
	}
	create(10)
	must(t, os.Remove(path+"-wal"))
	create(1) // by a write
	wantThere(t, fileAlone(), names)
	if _, err := s.SessionEnds(t.Context(), "", nil); err != nil {
		t.Fatal(err)
	}
	create(10)
	must(t, os.Remove(path+"-wal"))
	if err := s.Ready(t.Context()); err != nil { // by a question
		t.Fatal(err)
	}
	wantThere(t, fileAlone(), names)
	create(10)
	if _, err := os.Stat(path + "-wal"); err != nil {
		t.Error(err)
	}
	must(t, s.Close())
	wantThere(t, url, names)
}

// TestAStoreThatCannotOpenItsFilesAgainCanBeClosed puts a folder in the place of the WAL.
func TestAStoreThatCannotOpenItsFilesAgainCanBeClosed(t *testing.T) {
	t.Parallel()
	url := migratedURL(t)
	wal := strings.TrimPrefix(url, "sqlite:") + "-wal"
	for _, restored := range []bool{true, false} {
		s, err := sqlite.Open(t.Context(), url, store.Options{CallTimeout: 5 * time.Minute})
		must(t, err)
		_, err = s.CreateCliente(t.Context(), 0, store.Cliente{Name: "x"})
		must(t, err)
		must(t, os.Remove(wal))
		must(t, os.Mkdir(wal, 0o700))
		for range 2 {
			if err := s.Ready(t.Context()); !errors.Is(err, store.ErrUnavailable) {
				t.Fatalf("with a folder as its WAL: %v", err)
			}
		}
		if restored {
			must(t, os.Remove(wal))
			must(t, s.Ready(t.Context()))
			_, err := s.CreateCliente(t.Context(), 0, store.Cliente{Name: "y"})
			must(t, err)
		}
		must(t, s.Close())
	}
	must(t, os.Remove(wal))
	wantThere(t, url, map[string]bool{"1x": true, "2y": true, "3x": true})
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// copyTo does what cp does: it writes over a file that is there.
func copyTo(t *testing.T, from, to string) {
	t.Helper()
	b, err := os.ReadFile(from)
	must(t, err)
	must(t, os.WriteFile(to, b, 0o600))
}

// TestAnotherFileInTheDatabasesPlaceIsNotWrittenTo puts files over the database of a store that is
// open, as people do.
func TestAnotherFileInTheDatabasesPlaceIsNotWrittenTo(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		put   func(t *testing.T, url, backup, path string)
		saved bool
	}{
		"moved there": {func(t *testing.T, _, backup, path string) {
			must(t, os.Rename(backup, path))
		}, true},
		"removed": {func(t *testing.T, _, _, path string) { must(t, os.Remove(path)) }, true},
		"removed with all that is beside it": {func(t *testing.T, _, _, path string) {
			for _, suffix := range []string{"", "-wal", "-shm"} {
				must(t, os.Remove(path+suffix))
			}
		}, true},
		"a backup copied over it": {func(t *testing.T, _, backup, path string) {
			copyTo(t, backup, path)
		}, false},
		"an older copy copied over it": {func(t *testing.T, _, backup, path string) {
			conn := beside(t, "sqlite:"+backup)
			execute(t, conn, `PRAGMA application_id = 0`)
			must(t, conn.Close())
			copyTo(t, backup, path)
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url := migratedURL(t)
			path := strings.TrimPrefix(url, "sqlite:")
			s, err := sqlite.Open(t.Context(), url, store.Options{})
			must(t, err)
			names := make(map[string]bool)
			create := func() error {
				c, err := s.CreateCliente(t.Context(), 0, store.Cliente{Name: "x"})
				if err == nil {
					names[fmt.Sprint(c.ID, c.Name)] = true
				}
				return err
			}
			must(t, create())
			backup := filepath.Join(t.TempDir(), "backup.db")
			_, err = sqlite.WriteBackup(t.Context(), url, backup, func(int64, int64) {})
			must(t, err)
			for range 20 {
				must(t, create())
			}
			test.put(t, url, backup, path)
			before, _ := os.ReadFile(path)
			for range 3 {
				if err := create(); !errors.Is(err, store.ErrUnavailable) {
					t.Errorf("create: %v", err)
				}
			}
			_, ended := s.SessionEnds(t.Context(), "", nil)
			ready := s.Ready(t.Context())
			for _, err := range []error{ended, ready} {
				if !errors.Is(err, store.ErrUnavailable) {
					t.Errorf("got %v", err)
				}
			}
			saved, err := filepath.Glob(path + ".rescued-*")
			must(t, err)
			if (len(saved) == 1) != test.saved {
				t.Fatalf("there are %q", saved)
			}
			must(t, s.Close())
			if after, _ := os.ReadFile(path); !bytes.Equal(after, before) {
				t.Error("what was put there was written to")
			}
			if test.saved {
				if !strings.Contains(ready.Error(), saved[0]) {
					t.Errorf("it does not say where: %v", ready)
				}
				wantThere(t, "sqlite:"+saved[0], names)
			} else if !strings.Contains(ready.Error(), "clientes restore") {
				t.Errorf("it does not say what to do: %v", ready)
			}
		})
	}
}

// TestAWALOfAnotherFileIsRefused does what people do with a server that was killed: they copy a
// backup over its file.
func TestAWALOfAnotherFileIsRefused(t *testing.T) {
	t.Parallel()
	url := migratedURL(t)
	path := strings.TrimPrefix(url, "sqlite:")
	killed(t, url, 50, "serve")
	folder := t.TempDir()
	vacuumed, api, raw := filepath.Join(folder, "vacuumed"), filepath.Join(folder, "api"),
		filepath.Join(folder, "raw")
	copyAll := func(from, to string) {
		t.Helper()
		copyTo(t, from, to)
		copyTo(t, from+"-wal", to+"-wal")
	}
	copyAll(path, raw)
	conn := beside(t, "sqlite:"+raw)
	execute(t, conn, `VACUUM INTO '`+vacuumed+`'`)
	must(t, conn.Close()) // and its WAL is in the file
	b, err := engine.OpenConn(api, engine.OpenReadWrite, engine.OpenCreate)
	must(t, err)
	source, err := engine.OpenConn(raw, engine.OpenReadWrite)
	must(t, err)
	backup, err := engine.NewBackup(b, "main", source, "main")
	must(t, err)
	_, err = backup.Step(-1)
	must(t, errors.Join(err, backup.Close(), b.Close(), source.Close()))
	virgin := migratedFile(t)

	// Go on, so that the copies are older than the WAL.
	killed(t, url, 2000, "serve", "checkpoint")
	killed(t, url, 20, "serve")
	if _, err := sqlite.Schema(t.Context(), url); err != nil {
		t.Fatal(err)
	}
	killed(t, url, 20, "serve")

	for name, from := range map[string]string{
		"by VACUUM INTO": vacuumed, "by the backup API": api, "by cp after a clean end": raw,
		"another, new one": virgin,
	} {
		t.Run(name, func(t *testing.T) {
			to := filepath.Join(t.TempDir(), "clientes.db")
			copyAll(path, to)
			copyTo(t, from, to)
			before, err := os.ReadFile(to)
			must(t, err)
			for what, err := range map[string]error{
				"migrate":    sqlite.Migrate(t.Context(), "sqlite:"+to),
				"migrations": second(sqlite.Schema(t.Context(), "sqlite:"+to)),
			} {
				if err == nil || !strings.Contains(err.Error(), "clientes restore") {
					t.Errorf("%s: %v", what, err)
				}
			}
			if after, err := os.ReadFile(to); err != nil || !bytes.Equal(after, before) {
				t.Errorf("it was written to: %v", err)
			}
			alone := filepath.Join(t.TempDir(), "clientes.db")
			copyTo(t, to, alone)
			if err := sqlite.Migrate(t.Context(), "sqlite:"+alone); err != nil {
				t.Errorf("without the WAL: %v", err)
			}
			log, err := os.ReadFile(to + "-wal")
			must(t, err)
			r, err := sqlite.Restore(t.Context(), "sqlite:"+to, vacuumed, func(int64, int64) {})
			if err != nil || r.Unreadable == nil || r.KnowsIDs {
				t.Errorf("restore: %+v, %v", r, err)
			}
			for suffix, want := range map[string][]byte{"": before, "-wal": log} {
				if got, err := os.ReadFile(r.Kept + suffix); err != nil || !bytes.Equal(got, want) {
					t.Errorf("%s was not kept as it was: %v", r.Kept+suffix, err)
				}
			}
			must(t, sqlite.Migrate(t.Context(), "sqlite:"+to))
		})
	}
	t.Run("none", func(t *testing.T) {
		to := filepath.Join(t.TempDir(), "clientes.db")
		copyTo(t, path+"-wal", to+"-wal")
		err := sqlite.Migrate(t.Context(), "sqlite:"+to)
		if err == nil || !strings.Contains(err.Error(), "missing") {
			t.Errorf("got %v", err)
		}
		if _, err := os.Stat(to + "-wal"); err != nil {
			t.Errorf("the WAL: %v", err)
		}
	})
}

func second[T any](_ T, err error) error { return err }

func migratedFile(t *testing.T) string { return strings.TrimPrefix(migratedURL(t), "sqlite:") }

// TestADamagedFileIsRefusedAtTheStart overwrites a page in the middle.
func TestADamagedFileIsRefusedAtTheStart(t *testing.T) {
	t.Parallel()
	url := migratedURL(t)
	path := strings.TrimPrefix(url, "sqlite:")
	s, err := sqlite.Open(t.Context(), url, store.Options{})
	must(t, err)
	for range 200 {
		_, err := s.CreateCliente(t.Context(), 0,
			store.Cliente{Name: "x", Notes: strings.Repeat("x", 1000)})
		must(t, err)
	}
	must(t, s.Close())
	must(t, sqlite.Migrate(t.Context(), url))
	b, err := os.ReadFile(path)
	must(t, err)
	pages := len(b) / 4096
	refused := 0
	for page := 60; page < pages; page += 10 {
		damaged := slices.Clone(b)
		copy(damaged[page*4096:], bytes.Repeat([]byte{0xA5}, 4096))
		must(t, os.WriteFile(path, damaged, 0o600))
		err := sqlite.Migrate(t.Context(), url)
		if err != nil && strings.Contains(err.Error(), "clientes restore") {
			refused++
		} else {
			t.Logf("page %d: %v", page, err)
		}
	}
	if refused == 0 {
		t.Error("no damage was found")
	}
	must(t, os.WriteFile(path, b, 0o600))
	must(t, sqlite.Migrate(t.Context(), url))
}

// TestABackupUnderLoad backs up while eight write, and looks for what was answered before it began.
func TestABackupUnderLoad(t *testing.T) {
	t.Parallel()
	url := migratedURL(t)
	s := open(t, url)
	var mu sync.Mutex
	answered := make(map[string]bool)
	ctx, stop := context.WithCancel(t.Context())
	var writers sync.WaitGroup
	for range 8 {
		writers.Go(func() {
			for ctx.Err() == nil {
				c, err := s.CreateCliente(t.Context(), 0, store.Cliente{Name: "x"})
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				answered[fmt.Sprint(c.ID, c.Name)] = true
				mu.Unlock()
			}
		})
	}
	folder := t.TempDir()
	for i := range 3 {
		mu.Lock()
		before := maps.Clone(answered)
		mu.Unlock()
		to := filepath.Join(folder, fmt.Sprint(i))
		b, err := sqlite.WriteBackup(t.Context(), url, to, func(int64, int64) {})
		must(t, err)
		if info, err := os.Stat(to); err != nil || info.Mode().Perm() != 0o600 ||
			info.Size() != b.Size || b.Clientes < int64(len(before)) {
			t.Errorf("%+v, %v", info, err)
		}
		wantThere(t, "sqlite:"+to, before)
		if err := sqlite.Migrate(t.Context(), "sqlite:"+to); err == nil {
			t.Error("a backup can be served")
		}
	}
	stop()
	writers.Wait()
}

func TestWhatABackupMayReplace(t *testing.T) {
	t.Parallel()
	url := migratedURL(t)
	path := strings.TrimPrefix(url, "sqlite:")
	open(t, url)
	folder := t.TempDir()
	text := filepath.Join(folder, "text")
	must(t, os.WriteFile(text, []byte("my notes"), 0o600))
	none := func(int64, int64) {}
	for _, to := range []string{path, text, folder, migratedFile(t)} {
		before, _ := os.ReadFile(to)
		if _, err := sqlite.WriteBackup(t.Context(), url, to, none); err == nil {
			t.Errorf("%s was replaced", to)
		}
		if after, _ := os.ReadFile(to); !bytes.Equal(after, before) {
			t.Errorf("%s was changed", to)
		}
	}
	to := filepath.Join(folder, "backup")
	for range 2 {
		_, err := sqlite.WriteBackup(t.Context(), url, to, none)
		must(t, err)
	}
	// One that is stopped leaves the one before, and nothing else.
	before, err := os.ReadFile(to)
	must(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	_, err = sqlite.WriteBackup(ctx, url, to, func(int64, int64) { cancel() })
	if err != nil && !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if after, err := os.ReadFile(to); err != nil || err == nil && len(after) != len(before) {
		t.Errorf("%v", err)
	}
	files, err := os.ReadDir(folder)
	must(t, err)
	if len(files) != 2 {
		t.Errorf("left: %v", files)
	}
}

// TestARestoreTakesTheWALAlong restores what a killed server has left. The files belong to the
// owner of the folder.
func TestARestoreTakesTheWALAlong(t *testing.T) {
	t.Parallel()
	url := migratedURL(t)
	path := strings.TrimPrefix(url, "sqlite:")
	answered := killed(t, url, 30, "serve")
	if info, err := os.Stat(path + "-wal"); err != nil || info.Size() == 0 {
		t.Fatalf("the server left no WAL: %v", err)
	}
	before, err := os.ReadFile(path)
	must(t, err)
	folder := t.TempDir()
	to := filepath.Join(folder, "clientes.db")
	if os.Geteuid() == 0 {
		must(t, os.Chown(folder, 4711, 4712))
	}
	r, err := sqlite.Restore(t.Context(), "sqlite:"+to, path, func(int64, int64) {})
	must(t, err)
	if r.Clientes < int64(len(answered)) || r.KnowsIDs || r.Kept != "" {
		t.Errorf("got %+v", r)
	}
	if after, err := os.ReadFile(path); err != nil || !bytes.Equal(after, before) {
		t.Errorf("what was restored from was changed: %v", err)
	}
	if os.Geteuid() == 0 {
		info, err := os.Stat(to)
		must(t, err)
		if owner := fmt.Sprintf("%+v", info.Sys()); !strings.Contains(owner, "Uid:4711 Gid:4712") {
			t.Errorf("the file belongs to %s", owner)
		}
	}
	wantThere(t, "sqlite:"+to, answered)
}
