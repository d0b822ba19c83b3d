package config

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"syscall"

	"clientes/auth/password"
	"clientes/store/sqlite"
)

// CheckStart adds to the error of [Load] what only a start would find, so that a command which does
// not serve can tell of it too. It opens the file that PASSWORD_DENYLIST names, and looks for the
// file of an embedded database or for its folder. It listens for a moment at HOST, and at the host
// of METRICS_ADDR, on any free port.
func (c Config) CheckStart(ctx context.Context, err error) error {
	var found *Error
	if err != nil && !errors.As(err, &found) {
		return err
	}
	var faults []string
	if found != nil {
		faults = slices.Clone(found.Faults)
	}
	isFault := func(name string) bool { return found != nil && found.IsAbout(name) }
	bad := make(map[string]string) // what goes behind the name of a setting
	if c.PasswordDenied != "" && !isFault("PASSWORD_DENYLIST") {
		bad["PASSWORD_DENYLIST"] = c.checkDenylist()
	}
	if sqlite.IsURL(c.DatabaseURL) && !isFault("DATABASE_URL") {
		bad["DATABASE_URL"] = c.checkDatabaseFile()
	}
	if !isFault("HOST") {
		bad["HOST"] = checkListen(ctx, c.Network(), c.Host)
	}
	if host, _, _ := net.SplitHostPort(c.MetricsAddr); host != "" && !isFault("METRICS_ADDR") {
		bad["METRICS_ADDR"] = checkListen(ctx, network(host), host)
	}
	for _, s := range settings() {
		if why := bad[s.name]; why != "" {
			faults = append(faults, s.name+" "+why)
		}
	}
	if len(faults) == 0 {
		return nil
	}
	return &Error{Faults: faults}
}

// checkDatabaseFile returns why an embedded database neither exists nor can be made. What is wrong
// with one that exists, its opening says.
func (c Config) checkDatabaseFile() string {
	info, err := os.Stat(strings.TrimPrefix(c.DatabaseURL, "sqlite:"))
	if err == nil && info.IsDir() {
		return "leads to a folder: name a file in it"
	}
	if err == nil {
		return ""
	}
	if err := sqlite.CanMake(c.DatabaseURL); err != nil {
		return fmt.Sprintf("leads to no database, and none can be made: %v", err)
	}
	return ""
}

func (c Config) checkDenylist() string {
	list, err := password.OpenDenylist(c.PasswordDenied)
	if err == nil {
		err = list.Close()
	}
	switch {
	case err == nil:
		return ""
	case mayHavePassword(c.PasswordDenied), errors.Is(err, fs.ErrNotExist):
		return fmt.Sprintf("names a file that cannot be used: %v", withoutPath(err))
	}
	return fmt.Sprintf("names a file that cannot be used: %v", err)
}

func checkListen(ctx context.Context, network, host string) string {
	var lc net.ListenConfig
	listener, err := lc.Listen(ctx, network, net.JoinHostPort(host, "0"))
	if err == nil {
		listener.Close()
		return ""
	}
	var lookup *net.DNSError
	shown := quoted(host, host)
	switch {
	case errors.As(err, &lookup):
		return fmt.Sprintf("is %s, a name that leads to no address: give an address of this machine, "+
			"127.0.0.1 for this machine alone, or 0.0.0.0 for all", shown)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return fmt.Sprintf("is %s, which is no address of this machine: 127.0.0.1 is for this machine "+
			"alone, and 0.0.0.0 for all", shown)
	}
	return "" // the start has the same error and more to say of it
}

// LoopbackHint returns what to tell an operator whose platform has chosen the port and sends
// requests to it, while the server listens for this machine alone. It returns "" if that is clear.
func (c Config) LoopbackHint() string {
	if c.origins["PORT"] != "environment" || c.origins["HOST"] != "default" || c.Port == 0 {
		return ""
	}
	return "PORT comes from the environment and HOST is not set: only this machine can connect, at " +
		c.Address() + "; in a container or on a platform that sends requests to PORT, set HOST=0.0.0.0"
}

// PublicURLHint returns what to tell an operator whose server others can reach, but cannot know
// where. It returns "" if it can.
func (c Config) PublicURLHint() string {
	ip, err := netip.ParseAddr(c.PublicURLAt(nil).Hostname())
	if err == nil && ip.IsUnspecified() {
		return "PUBLIC_URL is " + c.PublicURL + ", an address to listen on: links in mail lead " +
			"nowhere; set it to what browsers use, such as https://api.example.com"
	}
	if !c.listensEverywhere() || c.PublicURL != "" {
		return ""
	}
	return "HOST is " + c.Host + " and PUBLIC_URL is not set: links in mail lead to localhost, and no " +
		"page of a browser elsewhere may use the cookie; set PUBLIC_URL to what browsers use, " +
		"such as https://api.example.com"
}
