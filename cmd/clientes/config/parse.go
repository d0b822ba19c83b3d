package config

import (
	"errors"
	"fmt"
	"iter"
	netmail "net/mail"
	"net/netip"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/caarlos0/env/v11"

	"clientes/auth/mail"
	"clientes/auth/password"
	"clientes/store"
)

// parse sets the fields of c from the texts of the settings.
func (c *Config) parse(bad faults) {
	err := env.ParseWithOptions(c, env.Options{
		Environment: c.values,
		FuncMap: map[reflect.Type]env.ParserFunc{
			reflect.TypeFor[bool]():            parseBool,
			reflect.TypeFor[uint16]():          parsePort,
			reflect.TypeFor[uint8]():           parseLength,
			reflect.TypeFor[time.Duration]():   parseDuration,
			reflect.TypeFor[[]netip.Prefix]():  parsePrefixes,
			reflect.TypeFor[mail.Server]():     parseServer,
			reflect.TypeFor[netmail.Address](): parseFrom,
		},
	})
	var all env.AggregateError
	if !errors.As(err, &all) {
		return
	}
	for _, err := range all.Errors {
		var parse env.ParseError
		if errors.As(err, &parse) {
			f, _ := reflect.TypeFor[Config]().FieldByName(parse.Name)
			bad.add(f.Tag.Get("env"), "%v", parse.Err)
		}
	}
}

func parseBool(s string) (any, error) {
	switch strings.ToLower(s) {
	case "true", "t", "1", "yes", "y", "on":
		return true, nil
	case "false", "f", "0", "no", "n", "off":
		return false, nil
	}
	return nil, fmt.Errorf("is %s, but has to be true or false", quoted(s, s))
}

func parsePort(s string) (any, error) {
	n, err := strconv.ParseUint(s, 10, 16)
	switch {
	case err != nil && strings.HasPrefix(s, "tcp://"):
		return nil, fmt.Errorf("is %s, which Kubernetes sets for a service of that name "+
			"(enableServiceLinks: false ends that), but has to be a number", quoted(s, s))
	case err != nil:
		return nil, fmt.Errorf("is %s, but has to be a number from 0 (any free port) to 65535",
			quoted(s, s))
	}
	return uint16(n), nil
}

// parseLength reads the least length of a password.
func parseLength(s string) (any, error) {
	n, err := strconv.ParseUint(s, 10, 8)
	if err != nil || n < password.MinLength || n > password.MaxLeastLength {
		return nil, fmt.Errorf("is %s, but has to be a number from %d to %d", quoted(s, s),
			password.MinLength, password.MaxLeastLength)
	}
	return uint8(n), nil
}

func parseDuration(s string) (any, error) {
	d, err := time.ParseDuration(s)
	switch meant := goDuration(s); {
	case err != nil && meant != "":
		return nil, fmt.Errorf("is %s, but has to be a time with its unit: %s", quoted(s, s), meant)
	case err != nil:
		return nil, fmt.Errorf("is %s, but has to be a time with its unit, "+
			"such as 90s, 30m or 1h30m", quoted(s, s))
	}
	return d, nil
}

// otherDuration is a number, with or without a unit as other programs write it.
var otherDuration = regexp.MustCompile(`^(\d{1,6})\s*([a-z]*)$`)

// goDuration returns a time that has another unit than Go knows, in Go's, or "". A number alone
// counts seconds, as in the tutorial.
func goDuration(s string) string {
	m := otherDuration.FindStringSubmatch(strings.ToLower(s))
	if m == nil {
		return ""
	}
	n, _ := strconv.Atoi(m[1])
	switch m[2] {
	case "", "s", "sec", "secs", "second", "seconds":
		return fmt.Sprintf("%ds", n)
	case "m", "min", "mins", "minute", "minutes":
		return fmt.Sprintf("%dm", n)
	case "h", "hr", "hrs", "hour", "hours":
		return fmt.Sprintf("%dh", n)
	case "d", "day", "days":
		return fmt.Sprintf("%dh", 24*n)
	case "w", "week", "weeks":
		return fmt.Sprintf("%dh", 7*24*n)
	}
	return ""
}

func parsePrefixes(s string) (any, error) {
	var prefixes []netip.Prefix
	for part := range listed(s) {
		p, err := netip.ParsePrefix(part)
		if one, ipErr := netip.ParseAddr(part); ipErr == nil && one.Zone() == "" {
			p, err = netip.PrefixFrom(one, one.BitLen()), nil
		}
		if part == "" {
			return nil, errors.New("has \"\" in it: take away the comma beside it")
		}
		if err != nil {
			return nil, fmt.Errorf("has %s in it, and names are not looked up: it has to be "+
				"networks such as 10.0.3.0/24 and addresses such as 192.0.2.7",
				quoted(part, s))
		}
		// A client of IPv4 has an address of IPv4 here, and would never match.
		if p.Addr().Is4In6() && p.Bits() >= 96 {
			p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
		}
		prefixes = append(prefixes, p.Masked())
	}
	return prefixes, nil
}

// listed returns the parts of a list, which commas or white space separate.
func listed(s string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for part := range strings.SplitSeq(s, ",") {
			fields := strings.Fields(part)
			if len(fields) == 0 {
				fields = []string{""}
			}
			for _, f := range fields {
				if !yield(store.Trim(f)) {
					return
				}
			}
		}
	}
}

func parseServer(s string) (any, error) {
	server, err := mail.ParseServer(s)
	if err != nil {
		return nil, fmt.Errorf("cannot be used: %w", err)
	}
	return server, nil
}

func parseFrom(s string) (any, error) {
	from, err := mail.ParseFrom(s)
	if err != nil {
		return nil, fmt.Errorf("is %s, but %w", quoted(s, s), err)
	}
	return from, nil
}
