package config

import (
	"errors"
	"fmt"
	netmail "net/mail"
	"net/netip"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/caarlos0/env/v11"

	"clientes/auth/mail"
	"clientes/auth/password"
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
	b, err := strconv.ParseBool(s)
	if err != nil {
		return nil, fmt.Errorf("is %s, but has to be true or false", quoted(s, s))
	}
	return b, nil
}

func parsePort(s string) (any, error) {
	n, err := strconv.ParseUint(s, 10, 16)
	if err != nil {
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
	if err != nil {
		return nil, fmt.Errorf("is %s, but has to be a time with its unit, "+
			"such as 90s, 30m or 1h30m", quoted(s, s))
	}
	return d, nil
}

func parsePrefixes(s string) (any, error) {
	var prefixes []netip.Prefix
	for part := range strings.SplitSeq(s, ",") {
		p, err := netip.ParsePrefix(strings.TrimSpace(part))
		if err != nil {
			return nil, fmt.Errorf("has %s in it, "+
				"but every part has to be a CIDR such as 10.0.0.0/8 or 192.0.2.7/32",
				quoted(part, s))
		}
		prefixes = append(prefixes, p.Masked())
	}
	return prefixes, nil
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
