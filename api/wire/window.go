package wire

import "io"

// readChunk is how many bytes of a file are read at once.
const readChunk = 64 << 10

// window is the part of a file that a row is in: from the row's first byte to what was read last.
// It holds little more than maxRow bytes.
type window struct {
	from  io.Reader
	buf   []byte
	start int   // of the row, in buf
	err   error // why nothing more comes: io.EOF, or what the reader returned
	solid int   // something other than padding stands before it, and at or after start
	long  bool  // whether nothing more comes because the row is too long
}

// has reports whether the row's window has a byte at p. It reads as far as it must.
func (w *window) has(p int) bool {
	for w.start+p >= len(w.buf) {
		if !w.more() {
			return false
		}
	}
	return true
}

// at returns the byte at p, which the window has.
func (w *window) at(p int) byte { return w.buf[w.start+p] }

// use drops n bytes: the next row begins after them.
func (w *window) use(n int) {
	w.start += n
	w.solid -= n
}

func (w *window) more() bool {
	if w.err != nil || w.long {
		return false
	}
	if len(w.buf)-w.start > maxRow+len("\r\n") {
		w.long = true
		return false
	}
	if cap(w.buf)-len(w.buf) < readChunk {
		buf := w.buf[:0]
		if cap(buf)-(len(w.buf)-w.start) < readChunk {
			buf = make([]byte, 0, 2*cap(buf)+2*readChunk)
		}
		w.buf, w.start = append(buf, w.buf[w.start:]...), 0
	}
	for range 100 {
		n, err := w.from.Read(w.buf[len(w.buf) : len(w.buf)+readChunk])
		w.buf, w.err = w.buf[:len(w.buf)+n], err
		if n > 0 || err != nil {
			return n > 0
		}
	}
	w.err = io.ErrNoProgress
	return false
}

// skipMark drops a byte order mark, and reports whether there was one.
func (w *window) skipMark() bool {
	if w.at(0) != bom[0] || !w.has(2) || string(w.buf[w.start:w.start+len(bom)]) != bom {
		return false
	}
	w.use(len(bom))
	return true
}

// padding reports whether from p on there is nothing but what old programs put after the end of a
// text: Ctrl-Z (CP/M, DOS) and NULs.
func (w *window) padding(p int) bool {
	if p < w.solid {
		return false // or a file of Ctrl-Z and line ends would be looked through for each line
	}
	for ; w.has(p); p++ {
		switch w.at(p) {
		case 0, 0x1a, '\r', '\n', ' ':
		default:
			w.solid = p + 1
			return false
		}
	}
	return w.err == io.EOF
}
