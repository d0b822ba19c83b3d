package wire_test

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"testing"

	"clientes/api/wire"
)

// The writer is done before anybody reads, or beside a reader. Every byte arrives, and then the
// writer's error.
func TestPipe(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	broken := errors.New("broken")
	for _, size := range []int{0, 1, 1 << 20, 1<<20 + 1, 5 << 20} {
		want := make([]byte, size)
		for i := range want {
			want[i] = byte(rand.Uint32())
		}
		for _, beside := range []bool{false, true} {
			for _, end := range []error{nil, broken} {
				p := wire.NewPipe()
				done := make(chan bool)
				go func() {
					defer close(done)
					for rest := want; len(rest) > 0; {
						n, err := p.Write(rest[:min(len(rest), 1+rand.IntN(300_000))])
						if err != nil {
							t.Error(err)
							break
						}
						rest = rest[n:]
					}
					p.End(end)
				}()
				if !beside {
					<-done
				}
				got, err := io.ReadAll(p)
				if !errors.Is(err, end) || !bytes.Equal(got, want) {
					t.Errorf("of %d bytes came %d, %v", size, len(got), err)
				}
				<-done
				if files, _ := os.ReadDir(os.TempDir()); len(files) > 0 {
					t.Errorf("%s has a name", files[0].Name())
				}
				p.Close()
			}
		}
	}
}

func TestAPipeWithoutAReader(t *testing.T) {
	p := wire.NewPipe()
	defer p.Close()
	gone := errors.New("gone")
	p.Leave(gone)
	if _, err := p.Write([]byte("x")); !errors.Is(err, gone) {
		t.Errorf("got %v", err)
	}
}
