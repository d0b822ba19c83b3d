package wire

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"

	"clientes/store"
)

// Spool holds customers on their way into a store, in a temporary file. All of them are read and
// checked before the store is called, so nobody waits for a lock because of a slow sender. A file
// of any size takes little memory.
type Spool struct {
	file *os.File
	n    int64
}

// NewSpool reads customers until r ends. Faults of rows are a [*store.RowsError] for the whole
// file. An error of r is returned unwrapped. Where the system allows it, the temporary file has no
// name any more, so that it is gone with the process however that ends.
func NewSpool(r io.Reader, how Reading) (_ *Spool, err error) {
	file, err := os.CreateTemp("", "clientes-import-")
	if err != nil {
		return nil, fmt.Errorf("make a temporary file: %w; TMPDIR names the folder for it", err)
	}
	os.Remove(file.Name()) // where this fails, Close does it
	s := &Spool{file: file}
	defer func() {
		if err != nil {
			s.Close()
		}
	}()
	out := bufio.NewWriterSize(file, 64<<10)
	if err := s.fill(out, r, how); err != nil {
		return nil, err
	}
	if err := out.Flush(); err != nil {
		return nil, fmt.Errorf("write to a temporary file: %w", err)
	}
	return s, nil
}

// fill writes every row of r. It goes on after a fault to find the others.
func (s *Spool) fill(out *bufio.Writer, r io.Reader, how Reading) error {
	var (
		faults  store.RowsError
		invalid *store.InvalidError
		buf     []byte
		row     int64
	)
	for c, err := range Rows(r, how, Clientes()) {
		row++
		switch {
		case errors.As(err, &invalid):
			for _, f := range invalid.Fields {
				faults.Add(row, f)
			}
			continue
		case err != nil:
			return err
		}
		s.n++
		buf = appendRow(buf[:0], &c)
		if _, err := out.Write(buf); err != nil {
			return fmt.Errorf("write to a temporary file: %w", err)
		}
	}
	return faults.Err()
}

// Rows returns the customers. It may be called again, and starts at the first one each time.
func (s *Spool) Rows() iter.Seq2[store.Cliente, error] {
	return func(yield func(store.Cliente, error) bool) {
		fail := func(err error) {
			yield(store.Cliente{}, fmt.Errorf("read the temporary file: %w", err))
		}
		if _, err := s.file.Seek(0, io.SeekStart); err != nil {
			fail(err)
			return
		}
		in := bufio.NewReaderSize(s.file, 64<<10)
		var buf []byte
		for range s.n {
			c, err := readRow(in, &buf)
			if err != nil {
				fail(err)
				return
			}
			if !yield(c, nil) {
				return
			}
		}
	}
}

// Len returns the number of customers.
func (s *Spool) Len() int64 { return s.n }

// Close removes the file.
func (s *Spool) Close() {
	s.file.Close()
	os.Remove(s.file.Name())
}

// appendRow writes a row of the file: the lengths of the texts, and then the texts.
func appendRow(b []byte, c *store.Cliente) []byte {
	texts := c.Texts()
	for _, t := range texts {
		b = binary.AppendUvarint(b, uint64(len(*t.Value)))
	}
	for _, t := range texts {
		b = append(b, *t.Value...)
	}
	return b
}

func readRow(in *bufio.Reader, buf *[]byte) (c store.Cliente, err error) {
	var lengths [store.ClienteTexts]int
	size := 0
	for i := range lengths {
		n, err := binary.ReadUvarint(in)
		if err != nil {
			return c, err
		}
		lengths[i] = int(n)
		size += int(n)
	}
	if cap(*buf) < size {
		*buf = make([]byte, size)
	}
	if _, err := io.ReadFull(in, (*buf)[:size]); err != nil {
		return c, err
	}
	whole := string((*buf)[:size]) // one string for all texts
	for i, t := range c.Texts() {
		*t.Value, whole = whole[:lengths[i]], whole[lengths[i]:]
	}
	return c, nil
}
