package api

import (
	"context"

	"clientes/api/wire"
	"clientes/store"
)

func (s *Server) clienteHistory(
	ctx context.Context, in childrenInput,
) (page[store.Change], error) {
	path := clientePath(in.id) + "/history"
	return readPage(ctx, s, in.pageInput, list[store.Change, int64]{
		path:    path,
		cursors: path,
		read: func(ctx context.Context, below int64, limit int) ([]store.Change, error) {
			return s.cfg.Store.ClienteHistory(ctx, in.id, below, limit)
		},
		position: func(c *store.Change) string { return formatID(c.Version) },
		parse:    parseID,
		view: func(b []byte, c *store.Change) ([]byte, error) {
			return wire.AppendChange(b, c), nil
		},
		size: func(c *store.Change) int { return c.Record.Size() },
	})
}
