package api

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

// Format is a form in which customers travel in great numbers, by its media type.
type Format string

// The formats of import and export.
const (
	CSV    Format = "text/csv"             // RFC 4180, with a header
	NDJSON Format = "application/x-ndjson" // a JSON object a line
)

// Spool is customers on their way into the store: read, checked, and kept in a temporary file, so that nobody holds a
// lock while a slow sender sends, and a file of any size takes little memory.
type Spool struct {
	file *os.File
	n    int64
}

// NewSpool reads customers until r ends. Faults of rows are a *store.RowsError that lists the first of them all; an error
// of r is given back as it is. The file has no name any more where the system allows that, so that it is gone with the
// process however that ends.
func NewSpool(r io.Reader, f Format) (_ *Spool, err error) {
	file, err := os.CreateTemp("", "clientes-import-")
	if err != nil {
		return nil, fmt.Errorf("make a temporary file: %w", err)
	}
	os.Remove(file.Name()) // where it can not be done yet, Close does it
	s := &Spool{file: file}
	defer func() {
		if err != nil {
			s.Close()
		}
	}()
	read := readCSV
	if f == NDJSON {
		read = readNDJSON
	}
	out := bufio.NewWriterSize(file, 64<<10)
	var faults store.RowsError
	var buf []byte
	err = read(r, func(row int64, c store.Cliente, fault error) error {
		var invalid *store.InvalidError
		switch {
		case errors.As(fault, &invalid):
			for _, f := range invalid.Fields {
				faults.Add(row, f)
			}
			return nil
		case fault != nil:
			return fault
		}
		s.n++
		buf = appendRow(buf[:0], c)
		if _, err := out.Write(buf); err != nil {
			return fmt.Errorf("write to a temporary file: %w", err)
		}
		return nil
	})
	if err == nil {
		err = faults.Err()
	}
	if err != nil {
		return nil, err
	}
	if err := out.Flush(); err != nil {
		return nil, fmt.Errorf("write to a temporary file: %w", err)
	}
	return s, nil
}

// Rows gives the customers, as often as it is asked.
func (s *Spool) Rows() iter.Seq2[store.Cliente, error] {
	return func(yield func(store.Cliente, error) bool) {
		fail := func(err error) { yield(store.Cliente{}, fmt.Errorf("read the temporary file: %w", err)) }
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

// Len says how many customers there are.
func (s *Spool) Len() int64 { return s.n }

// Close removes the file.
func (s *Spool) Close() {
	s.file.Close()
	os.Remove(s.file.Name())
}

// textNames are the members of a record that a client writes, and texts where they are in it.
func textNames() []string { return []string{"name", "email", "phone", "company", "address", "notes"} }

func texts(c *store.Cliente) [6]*string {
	return [...]*string{&c.Name, &c.Email, &c.Phone, &c.Company, &c.Address, &c.Notes}
}

// appendRow writes a row of the file: the lengths of the texts, and then these.
func appendRow(b []byte, c store.Cliente) []byte {
	for _, s := range texts(&c) {
		b = binary.AppendUvarint(b, uint64(len(*s)))
	}
	for _, s := range texts(&c) {
		b = append(b, *s...)
	}
	return b
}

func readRow(in *bufio.Reader, buf *[]byte) (c store.Cliente, err error) {
	var lengths [6]int
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
	whole := string((*buf)[:size])
	for i, s := range texts(&c) {
		*s, whole = whole[:lengths[i]], whole[lengths[i]:]
	}
	return c, nil
}
