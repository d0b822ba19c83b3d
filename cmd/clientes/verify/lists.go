package verify

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// listChecks are the promises about what a list of customers selects, and in what order.
func listChecks() []check {
	return []check{
		{"list-sorted", customers,
			"A list is in the order that was asked for, names by their letters without case or accents.",
			tryListSorted},
		{"list-searched", customers,
			"A search finds what has the text, the email or the time, and nothing else.",
			tryListSearched},
		{"list-counted", customers,
			"A page has a hundred records unless asked otherwise, and the last one leads nowhere.",
			tryListCounted},
	}
}

// list reads a page of customers as the admin.
func (v *verifier) list(ctx context.Context, query string) (found []cliente, a answer, err error) {
	a, err = v.wantAsAdmin(ctx, http.StatusOK,
		request{method: "GET", path: "/clientes?" + query})
	if err != nil {
		return nil, a, err
	}
	return found, a, a.into(&found)
}

func tryListSorted(ctx context.Context, v *verifier) (string, error) {
	// The keys are what the names are sorted by.
	names := []struct{ name, key string }{
		{"zebra", "zebra"}, {"Élan", "elan"}, {"eagle", "eagle"}, {"twin", "twin"}, {"Fox", "fox"},
		{"ábaco", "abaco"}, {"Abba", "abba"}, {"TWIN", "twin"},
	}
	var rows []texts
	keys := make(map[string]string)
	for _, n := range names {
		row := v.named("sorted " + n.name)
		rows, keys[row["name"]] = append(rows, row), n.key
	}
	if _, err := v.importNDJSON(ctx, "", rows); err != nil {
		return "", err
	}
	filter := "q=" + url.QueryEscape(v.tag+" sorted")
	found, _, err := v.list(ctx, filter)
	if err != nil {
		return "", err
	}
	if len(found) != len(rows) {
		return "", broken("the list has %d of %d customers", len(found), len(rows))
	}
	if _, err := v.patchCliente(ctx, found[2].ID, texts{"notes": "the last change"}); err != nil {
		return "", err
	}
	if found, _, err = v.list(ctx, filter); err != nil {
		return "", err
	}
	for by, order := range map[string]func(a, b cliente) int{
		"id":         func(cliente, cliente) int { return 0 },
		"name":       func(a, b cliente) int { return strings.Compare(keys[a.Name], keys[b.Name]) },
		"created_at": func(a, b cliente) int { return strings.Compare(a.CreatedAt, b.CreatedAt) },
		"updated_at": func(a, b cliente) int { return strings.Compare(a.UpdatedAt, b.UpdatedAt) },
	} {
		slices.SortFunc(found, func(a, b cliente) int {
			return cmp.Or(order(a, b), cmp.Compare(a.ID, b.ID))
		})
		for _, sort := range []string{by, "-" + by} {
			got, _, err := v.list(ctx, filter+"&sort="+sort)
			if err != nil {
				return "", err
			}
			if !slices.Equal(got, found) {
				return "", broken("%d customers come in another order with sort=%s", len(got), sort)
			}
			slices.Reverse(found)
		}
	}
	return fmt.Sprintf("%d customers by four orders, up and down", len(rows)), nil
}

func tryListSearched(ctx context.Context, v *verifier) (string, error) {
	x := strings.TrimPrefix(v.tag, "verify-")
	digits := fmt.Sprintf("%09d", rand.N(1_000_000_000))
	mail := v.email("searched")
	c, err := v.createCliente(ctx, texts{
		"name": "Ána" + x + " searched", "email": mail, "phone": "+55 11 " + digits,
		"company": "Çedar" + x, "notes": "note" + x, "address": "street" + x,
	})
	if err != nil {
		return "", err
	}
	since, err := time.Parse(time.RFC3339Nano, c.UpdatedAt)
	if err != nil {
		return "", broken("the updated_at of a customer is %q", c.UpdatedAt)
	}
	const form = "2006-01-02T15:04:05.000Z"
	mine := "email=" + url.QueryEscape(mail)
	searches := []struct {
		what, query string
		found       bool
	}{
		{"the name in capitals without its accent", "q=ANA" + strings.ToUpper(x), true},
		{"the name with another accent", "q=" + url.QueryEscape("anã"+x), true},
		{"a part of the name", "q=" + x + "+searched", true},
		{"the company", "q=cedar" + x, true},
		{"the phone", "q=" + digits, true},
		{"a part of the email", "q=" + v.tag + ".searched", true},
		{"a text of the notes", "q=note" + x, false},
		{"a text of the address", "q=street" + x, false},
		{"two letters that begin the name", mine + "&q=an", true},
		{"one letter that begins the company", mine + "&q=c", true},
		{"two letters within the name", mine + "&q=na", false},
		{"two digits of the phone", mine + "&q=55", false},
		{"the email", mine, true},
		{"half the email", "email=" + v.tag + ".searched", false},
		{"the email and another text", mine + "&q=nobody" + x, false},
		{"its last change", mine + "&updated_since=" + since.UTC().Format(form), true},
		{"a time after its last change",
			mine + "&updated_since=" + since.Add(time.Millisecond).UTC().Format(form), false},
		{"a parameter against caches", mine + "&_=1", true},
	}
	for _, s := range searches {
		found, _, err := v.list(ctx, s.query)
		if err != nil {
			return "", err
		}
		has := slices.ContainsFunc(found, func(d cliente) bool { return d.ID == c.ID })
		if has != s.found || len(found) > 1 {
			return "", broken("a search for %s has %d customers, and finds it: %t", s.what,
				len(found), has)
		}
	}
	return fmt.Sprintf("%d searches found the customer, or not, as promised", len(searches)), nil
}

func tryListCounted(ctx context.Context, v *verifier) (string, error) {
	const n = 101
	var rows []texts
	for i := range n {
		rows = append(rows, v.named(fmt.Sprintf("counted %d", i)))
	}
	if _, err := v.importNDJSON(ctx, "", rows); err != nil {
		return "", err
	}
	filter := "q=" + url.QueryEscape(v.tag+" counted")
	for _, p := range []struct {
		query   string
		records int
		total   string
		more    bool
	}{
		{"", 100, "", true}, {"&count=exact", 100, "101", true}, {"&limit=101", 101, "", false},
		{"&limit=101&count=exact&sort=-name", 101, "101", false}, {"&limit=1", 1, "", true},
		{"&count=exact&email=" + url.QueryEscape(v.email("nobody")), 0, "0", false},
	} {
		found, a, err := v.list(ctx, filter+p.query)
		if err != nil {
			return "", err
		}
		more := a.header.Get("Link") != ""
		if total := a.header.Get("X-Total-Count"); len(found) != p.records || total != p.total ||
			more != p.more {
			return "", broken("of %d customers a page (%s) has %d, X-Total-Count %q, a next "+
				"page: %t", n, p.query, len(found), total, more)
		}
	}
	return "six pages with their sizes, counts and ends", nil
}
