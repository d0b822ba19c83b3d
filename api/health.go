package api

import (
	"context"
	"errors"
	"time"

	"clientes/store"
)

type messageView struct {
	Message string `json:"message"`
}

// home is the tutorial's greeting.
func (s *Server) home(context.Context, nothing) (messageView, error) {
	return messageView{Message: "Everything is okay!"}, nil
}

type healthView struct {
	Status string `json:"status"`
}

// healthz answers as long as the process lives, whatever the state of anything else.
func (s *Server) healthz(context.Context, nothing) (healthView, error) {
	return healthView{Status: "ok"}, nil
}

// readyTimeout is no longer than the second or two that load balancers wait.
const readyTimeout = time.Second

// readyz reports whether this server should get requests.
func (s *Server) readyz(ctx context.Context, _ nothing) (healthView, error) {
	if s.draining.Load() {
		return healthView{}, errDraining
	}
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	switch err := s.cfg.Store.Ready(ctx); {
	case errors.Is(err, context.DeadlineExceeded):
		return healthView{}, errors.Join(store.ErrUnavailable, err)
	case err != nil:
		return healthView{}, err
	}
	switch is, err := s.cfg.Store.Identity(ctx); {
	case err != nil:
		return healthView{}, errors.Join(store.ErrUnavailable, err)
	case is.Copying != "":
		return healthView{}, errHalfCopied
	}
	return healthView{Status: "ok"}, nil
}
