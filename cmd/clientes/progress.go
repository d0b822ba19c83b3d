package main

import (
	"io"
	"time"

	"github.com/schollz/progressbar/v3"
)

// noTotal is the total of a step whose length is not known.
const noTotal = -1

// progress shows how far a command is, one step after the other, and removes its line at the end.
// Without a terminal it shows nothing.
type progress struct {
	terminal io.Writer // nil if there is none
	bar      *progressbar.ProgressBar
}

func (p *program) progress() *progress {
	if !isTerminal(p.stderr) {
		return new(progress)
	}
	return &progress{terminal: p.stderr}
}

// shows reports whether anybody can see it.
func (p *progress) shows() bool { return p.terminal != nil }

// begin ends the step before, and begins one of total bytes or rows.
func (p *progress) begin(what string, total int64, options ...progressbar.Option) {
	p.end()
	if !p.shows() || total == 0 {
		return
	}
	p.bar = progressbar.NewOptions64(total, append([]progressbar.Option{
		progressbar.OptionSetWriter(p.terminal),
		progressbar.OptionSetDescription(what),
		progressbar.OptionThrottle(100 * time.Millisecond),
		progressbar.OptionSetRenderBlankState(true),
		progressbar.OptionClearOnFinish(),
	}, options...)...)
}

// bytes begins a step that is measured by Write.
func (p *progress) bytes(what string, total int64) {
	p.begin(what, total, progressbar.OptionShowBytes(true), progressbar.OptionShowCount())
}

// rows begins a step that is measured by row.
func (p *progress) rows(what string, total int64) {
	p.begin(what, total, progressbar.OptionShowCount(),
		progressbar.OptionShowIts(), progressbar.OptionSetItsString("rows"))
}

// wait begins a step that cannot be measured.
func (p *progress) wait(what string) { p.begin(what, noTotal) }

// total returns a function that shows how many bytes of how many a step has done, and when it has
// done all, that another step follows.
func (p *progress) total(what, next string) func(done, total int64) {
	var size int64
	ended := false
	return func(done, total int64) {
		switch {
		case !p.shows():
		case total != size:
			size, ended = total, false
			p.bytes(what, total)
		case done == total && !ended:
			ended = true
			p.wait(next)
		case p.bar != nil && !ended:
			_ = p.bar.Set64(done)
		}
	}
}

// Write counts bytes, for an io.TeeReader.
func (p *progress) Write(b []byte) (int, error) {
	p.add(len(b))
	return len(b), nil
}

func (p *progress) row() { p.add(1) }

// add ignores errors: a file that grows while it is read has more than its total.
func (p *progress) add(n int) {
	if p.bar != nil {
		_ = p.bar.Add(n)
	}
}

// end removes the line.
func (p *progress) end() {
	if p.bar != nil {
		_ = p.bar.Finish()
		p.bar = nil
	}
}
