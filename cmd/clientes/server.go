package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"clientes/api"
	"clientes/cmd/clientes/config"
)

const (
	// A stranger that sends its header byte by byte holds a connection, and only this long.
	readHeaderTimeout = 5 * time.Second

	// A body of 1 MiB comes through in this time at 35 kB/s.
	readTimeout = 30 * time.Second

	// It begins at the end of the header. What reading the body leaves of it is for waiting at the
	// gate, for the store and for a slow receiver.
	writeTimeout = 60 * time.Second

	// Longer than the 60 s after which the common load balancers drop an idle connection
	// themselves. If the server were first, a request that is on its way would get no answer.
	idleTimeout = 75 * time.Second

	// A token has at most 4 KiB and may come twice. net/http reads 4 KiB more than this.
	maxHeaderBytes = 16 << 10

	// minDelay is how long the server at least goes on accepting after it was told to stop, and how
	// long it then waits for requests on the connections that it has. Shutdown closes the listener
	// and idle connections at once. It would cut a request that is already in the queue of the one
	// or on its way on the other.
	minDelay = 250 * time.Millisecond

	// closeTimeout is how long the end of a server waits for its store.
	closeTimeout = time.Second
)

// httpServer answers requests until it is told to stop, and then loses none that is under way.
type httpServer struct {
	http           http.Server
	drain          func()
	delay, timeout time.Duration
	settle         time.Duration // from the end of the listener to the beginning of Shutdown
	log            *slog.Logger
}

// drainer is a handler that can say that its server is about to stop.
type drainer interface {
	http.Handler
	Drain()
}

func newHTTPServer(c config.Config, handler drainer, log *slog.Logger) *httpServer {
	bound := newConnections(connectionLimit(descriptors()), c.TrustedProxies, log)
	return &httpServer{
		http: http.Server{
			Handler:           handler,
			ReadHeaderTimeout: readHeaderTimeout,
			ReadTimeout:       readTimeout,
			WriteTimeout:      writeTimeout,
			IdleTimeout:       idleTimeout,
			MaxHeaderBytes:    maxHeaderBytes,
			ConnContext:       api.ConnContext,
			ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelWarn),
			ConnState:         bound.changed,

			// The handler answers "OPTIONS *" too, with the headers that all its answers carry.
			DisableGeneralOptionsHandler: true,
		},
		drain:   handler.Drain,
		delay:   max(c.ShutdownDelay, minDelay),
		settle:  minDelay,
		timeout: c.ShutdownTimeout,
		log:     log,
	}
}

// serve answers requests until ctx ends, then finishes those that are under way. It closes the
// listener. It returns an error if it could not serve, or had to cut a request.
func (s *httpServer) serve(ctx context.Context, listener net.Listener) error {
	failed := make(chan error, 1)
	go func() { failed <- s.http.Serve(listener) }()
	s.log.Info("listening", "addr", listener.Addr().String())

	select {
	case err := <-failed:
		return fmt.Errorf("serve: %w", err)
	case <-ctx.Done():
	}
	s.log.Info("stopping", "delay", s.delay.String(), "timeout", s.timeout.String())
	s.drain()
	time.Sleep(s.delay)
	// Shutdown begins only when the last connections have brought their requests. From then on
	// net/http closes a connection on which it reads a request, without an answer.
	listener.Close()
	time.Sleep(s.settle)
	// ctx has ended; the time to finish begins now.
	finishing, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.timeout)
	defer cancel()
	if err := s.http.Shutdown(finishing); err != nil {
		s.http.Close()
		if errors.Is(err, context.DeadlineExceeded) {
			return fmt.Errorf("stopped, but requests that took longer than SHUTDOWN_TIMEOUT (%s) were cut",
				s.timeout)
		}
		return fmt.Errorf("stop: %w", err)
	}
	s.log.Info("stopped")
	return nil
}

// listen takes the port.
func listen(ctx context.Context, c config.Config) (net.Listener, error) {
	var lc net.ListenConfig
	listener, err := lc.Listen(ctx, c.Network(), c.Address())
	switch {
	case errors.Is(err, fs.ErrPermission):
		return nil, fmt.Errorf("cannot listen on %s: %w; a port below 1024 needs a right that this "+
			"user lacks: choose another PORT", c.Address(), err)
	case err != nil:
		return nil, fmt.Errorf("cannot listen on %s: %w; stop what listens there, or choose another "+
			"HOST or PORT, for example PORT=%d in the environment or in .env",
			c.Address(), err, max(1024, (c.Port+1)%(1<<15)))
	}
	return listener, nil
}

// endsAfter returns a context that ends some time after ctx has ended.
func endsAfter(ctx context.Context, d time.Duration) context.Context {
	later, end := context.WithCancel(context.WithoutCancel(ctx))
	context.AfterFunc(ctx, func() { time.AfterFunc(d, end) })
	return later
}

// waitUntil waits for the goroutines of a group until ctx ends. It reports whether all have ended.
func waitUntil(ctx context.Context, group *sync.WaitGroup) bool {
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		group.Wait()
	}()
	select {
	case <-ended:
		return true
	case <-ctx.Done():
		return false
	}
}

// closeSoon closes the store of a server that ends. A store that has stopped answering would keep
// the process alive, so it is left to the end of the process after [closeTimeout].
func closeSoon(st io.Closer) {
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		st.Close()
	}()
	select {
	case <-closed:
	case <-time.After(closeTimeout):
	}
}
