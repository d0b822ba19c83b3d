package api

import (
	"fmt"
	"net/http"
	"net/url"
	"strconv"
)

// pageInput is how much of a list a client wants, and from where on.
type pageInput struct {
	limit  int
	cursor string // "" for the first page
}

func (in *pageInput) decode(r *request) error {
	in.limit = defaultLimit
	if s, ok := r.query("limit"); ok {
		n, err := strconv.ParseUint(s, 10, 16)
		if err != nil || n < 1 || n > maxLimit {
			return invalidParameter("The parameter \"limit\" is a number from 1 to %d.", maxLimit)
		}
		in.limit = int(n)
	}
	cursor, ok := r.query("cursor")
	if ok && cursor == "" {
		return errInvalidCursor()
	}
	in.cursor = cursor
	return nil
}

func errInvalidCursor() error {
	return invalidParameter("The parameter \"cursor\" is not one that a Link header gave for these parameters.")
}

// nextLink gives the address of the page behind this one.
func (in *pageInput) nextLink(path string, said url.Values, cursor string) string {
	link := path + "?limit=" + strconv.Itoa(in.limit)
	if len(said) > 0 {
		link += "&" + said.Encode()
	}
	return link + "&cursor=" + cursor
}

// setLink says where the next page is, if there is one.
func setLink(h http.Header, next string) {
	if next != "" {
		h.Set("Link", fmt.Sprintf(`<%s>; rel="next"`, next))
	}
}
