package wire

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
)

// pipeMemory is how many bytes a [Pipe] holds in memory. What comes after goes into a file.
const pipeMemory = 1 << 20

// Pipe holds an export between a store and a client, which may read as slowly as it likes: the
// writer does not wait for the reader. It takes little memory. What has no room there waits in a
// temporary file. One goroutine may write beside another one that reads.
type Pipe struct {
	mu     sync.Mutex
	grown  sync.Cond
	memory []byte   // what was written first
	file   *os.File // what was written after it, or nil
	size   int64    // of both
	read   int64
	err    error // nil while there may come more
	gone   error // of the reader, nil while it reads
}

// NewPipe returns an empty pipe.
func NewPipe() *Pipe {
	p := new(Pipe)
	p.grown.L = &p.mu
	return p
}

// Write implements [io.Writer]. It returns the reader's error when that has gone.
func (p *Pipe) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.gone != nil {
		return 0, p.gone
	}
	if p.file == nil && len(p.memory)+len(b) <= pipeMemory {
		p.memory = append(p.memory, b...)
	} else if err := p.writeFile(b); err != nil {
		return 0, fmt.Errorf("write to a temporary file: %w", err)
	}
	p.size += int64(len(b))
	p.grown.Signal()
	return len(b), nil
}

// writeFile appends to the file, which it creates first. Where the system allows it, the file has
// no name any more, so that it is gone with the process however that ends.
func (p *Pipe) writeFile(b []byte) (err error) {
	if p.file == nil {
		if p.file, err = os.CreateTemp("", "clientes-export-"); err != nil {
			return err
		}
		os.Remove(p.file.Name()) // where this fails, Close does it
	}
	_, err = p.file.WriteAt(b, p.size-int64(len(p.memory)))
	return err
}

// End tells the reader that nothing more comes, because of err or because that was all.
func (p *Pipe) End(err error) {
	if err == nil {
		err = io.EOF
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.err = err
	p.grown.Signal()
}

// Read implements [io.Reader]. It waits for the writer, and returns the error of [Pipe.End] after
// all that was written.
func (p *Pipe) Read(b []byte) (int, error) {
	p.mu.Lock()
	for p.read == p.size && p.err == nil {
		p.grown.Wait()
	}
	left := p.size - p.read
	if left == 0 {
		defer p.mu.Unlock()
		return 0, p.err
	}
	if p.read < int64(len(p.memory)) {
		defer p.mu.Unlock()
		n := copy(b, p.memory[p.read:])
		p.read += int64(n)
		return n, nil
	}
	from := p.read - int64(len(p.memory))
	p.mu.Unlock() // the writer goes on meanwhile
	n, err := p.file.ReadAt(b[:min(int64(len(b)), left)], from)
	p.read += int64(n)
	if err != nil && !errors.Is(err, io.EOF) {
		return n, fmt.Errorf("read a temporary file: %w", err)
	}
	return n, nil
}

// Leave makes every later Write return err: nobody reads any more.
func (p *Pipe) Leave(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.gone = err
}

// Close removes the file. Nobody may write or read any more.
func (p *Pipe) Close() {
	if p.file != nil {
		p.file.Close()
		os.Remove(p.file.Name())
	}
}
