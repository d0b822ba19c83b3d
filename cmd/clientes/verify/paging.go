package verify

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"sync"
)

// pagedClientes is how many customers a walk has to see.
const pagedClientes = 40

func tryPagingComplete(ctx context.Context, v *verifier) (string, error) {
	var rows []texts
	for i := range pagedClientes {
		rows = append(rows, v.named(fmt.Sprintf("paging %02d", i)))
	}
	if _, err := v.importNDJSON(ctx, "", rows); err != nil {
		return "", err
	}
	stay, err := v.search(ctx, v.tag+" paging")
	if err != nil {
		return "", err
	}
	if len(stay) != pagedClientes {
		return "", broken("the list has %d of %d customers", len(stay), pagedClientes)
	}
	writing, stop := context.WithCancel(ctx)
	defer stop()
	var (
		group  sync.WaitGroup
		writes int
		failed error
	)
	group.Go(func() {
		failed = recovered(func() (err error) {
			writes, err = v.churn(writing, stay)
			return err
		})
		if failed != nil && writing.Err() == nil {
			stop()
		}
	})
	filter := "&q=" + url.QueryEscape(v.tag+" paging")
	pages := 0
	for _, list := range []string{
		"sort=id" + filter, "sort=-id" + filter, "sort=created_at" + filter,
		"sort=name" + filter, "sort=-id",
	} {
		n, err := v.walk(ctx, list, stay)
		if err != nil {
			return "", err
		}
		pages += n
	}
	stop()
	group.Wait()
	if failed != nil && ctx.Err() == nil && writing.Err() == nil {
		return "", failed
	}
	if err := v.tryCursors(ctx); err != nil {
		return "", err
	}
	return fmt.Sprintf("five walks over %d pages saw each of %d records once during %d writes",
		pages, pagedClientes, writes), nil
}

// churn makes, changes and deletes customers until ctx ends. It returns how often it wrote.
func (v *verifier) churn(ctx context.Context, stay []cliente) (writes int, err error) {
	token := v.admin.token
	send := func(status int, r request) (answer, error) {
		r.token = token
		a, err := v.want(ctx, status, r)
		writes++
		return a, err
	}
	for i := 0; ctx.Err() == nil && i < 200; i++ {
		a, err := send(http.StatusCreated, request{
			method: "POST", path: "/clientes",
			body: v.named(fmt.Sprintf("paging 20 passing %d", i)),
		})
		if err != nil {
			return writes, err
		}
		c, err := clienteIn(a)
		if err != nil {
			return writes, err
		}
		anyway := http.Header{"If-Match": anyVersion}
		if _, err := send(http.StatusOK, request{
			method: "PATCH", path: stay[i%len(stay)].path(), header: anyway,
			body: texts{"notes": fmt.Sprintf("change %d", i)},
		}); err != nil {
			return writes, err
		}
		if _, err := send(http.StatusNoContent,
			request{method: "DELETE", path: c.path(), header: anyway}); err != nil {
			return writes, err
		}
	}
	return writes, nil
}

// walk follows the pages of a list until it has seen the customers that stay. It returns how many
// pages there were, and an error unless each record came once.
func (v *verifier) walk(ctx context.Context, list string, stay []cliente) (pages int, err error) {
	const most = 200 // of a list without a filter, which ends much later
	missing := make(map[int64]bool)
	for _, c := range stay {
		missing[c.ID] = true
	}
	seen := make(map[int64]bool)
	path := "/clientes?limit=7&" + list
	for pages = 1; ; pages++ {
		a, err := v.wantAsAdmin(ctx, http.StatusOK, request{method: "GET", path: path})
		if err != nil {
			return pages, err
		}
		var page []cliente
		if err := a.into(&page); err != nil {
			return pages, err
		}
		for _, c := range page {
			if seen[c.ID] {
				return pages, broken("a walk through %s saw the customer %d twice", list, c.ID)
			}
			seen[c.ID] = true
			delete(missing, c.ID)
		}
		if path, err = nextPage(a); err != nil {
			return pages, err
		}
		past := list == "sort=-id" && slices.ContainsFunc(page, func(c cliente) bool {
			return c.ID < stay[0].ID // the records are sorted by id
		})
		if path == "" || past || pages == most {
			break
		}
	}
	if len(missing) > 0 {
		return pages, broken("a walk through %s missed %d of %d customers that were there "+
			"all the time", list, len(missing), len(stay))
	}
	return pages, nil
}

// tryCursors returns an error if a cursor is good for another list, or a page has no bounds.
func (v *verifier) tryCursors(ctx context.Context) error {
	a, err := v.wantAsAdmin(ctx, http.StatusOK,
		request{method: "GET", path: "/clientes?limit=1&sort=name"})
	if err != nil {
		return err
	}
	next, err := nextPage(a)
	if err != nil {
		return err
	}
	u, err := url.Parse(next)
	if err != nil || u.Query().Get("cursor") == "" {
		return broken("the Link of a page is %q, without a cursor", next)
	}
	for _, query := range []string{
		"limit=0", "limit=1001", "limit=x", "sort=email", "nosuch=1", "limit=1&limit=2",
		"cursor=AAAA", "cursor=" + u.Query().Get("cursor"),
	} {
		a, err := v.asAdmin(ctx, request{method: "GET", path: "/clientes?" + query})
		if err != nil {
			return err
		}
		if !a.is(http.StatusBadRequest, "invalid_parameter") {
			return broken("GET /clientes?%s is answered %v", query, a)
		}
	}
	return nil
}
