package doctor

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"time"

	"clientes/auth/mail"
	"clientes/store"
)

// signup looks at who may sign up.
func signup(_ context.Context, s Setup) []store.Finding {
	var r report
	c := s.Config
	switch {
	case c.Signup != "open":
		r.ok("signup-mail", "strangers cannot sign up")
	case c.SMTP == (mail.Server{}):
		r.warn("signup-mail", "SIGNUP is open, but no mail leaves this machine: whoever "+
			"signs up can neither confirm an email nor set another password",
			"set SMTP_URL and MAIL_FROM, or SIGNUP=closed")
	default:
		r.ok("signup-mail", "strangers may sign up, and mail confirms their email")
	}
	return r
}

// secondFactor looks at who must have one.
func secondFactor(_ context.Context, s Setup) []store.Finding {
	var r report
	c := s.Config
	if c.RequireMFA == "none" && !isLoopback(s.public().Hostname()) {
		r.warn("mfa",
			"no admin needs a second factor: one stolen password is enough to manage all users",
			"set REQUIRE_MFA=admin; admins without one set it up at their next login")
	} else {
		r.ok("mfa", "REQUIRE_MFA is %s", c.RequireMFA)
	}
	return r
}

// metrics looks at who can read METRICS_ADDR, which has no login.
func metrics(ctx context.Context, s Setup) []store.Finding {
	const id = "metrics"
	var r report
	at := s.Config.MetricsAddr
	switch {
	case at == "":
		r.ok(id, "no metrics are served")
	case s.Serving == nil && s.isForeign(ctx, at):
		r.fail(id, fmt.Sprintf("another program listens at %s, which METRICS_ADDR names: the "+
			"server cannot start", at), "stop that program, or choose another port")
	case s.Config.IsMetricsLoopback():
		r.ok(id, "only this machine can read metrics and profiles, at %s", at)
	default:
		r.warn(id,
			fmt.Sprintf("METRICS_ADDR is %s: whoever can connect to it reads metrics and takes "+
				"profiles, without a login", at),
			"set it to 127.0.0.1 and a port, or let only Prometheus through to it: a "+
				"firewall, a NetworkPolicy")
	}
	return r
}

// isForeign reports whether something answers at an address that serves no metrics of clientes.
func (s Setup) isForeign(ctx context.Context, at string) bool {
	ctx, cancel := context.WithTimeout(ctx, networkTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+at+"/metrics", nil)
	if err != nil {
		return false // a fault of the setting
	}
	resp, err := s.client().Do(req)
	if err != nil {
		return !isUnreached(err) && ctx.Err() == nil
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, 4*mib))
	return err != nil || !bytes.Contains(text, []byte("clientes_build_info"))
}

// The grace of the usual orchestrators from SIGTERM to SIGKILL. That of Kubernetes and ECS is 30 s.
const grace = 30 * time.Second

// leaving is what a server needs beside SHUTDOWN_DELAY and SHUTDOWN_TIMEOUT.
const leaving = 2 * time.Second

// shutdown compares the time that a server takes to stop with the time that it is left.
func shutdown(_ context.Context, s Setup) []store.Finding {
	const id = "shutdown"
	var r report
	c := s.Config
	all := c.ShutdownDelay + c.ShutdownTimeout + leaving
	switch {
	case all > grace:
		r.warn(id, fmt.Sprintf("a stop may take %s, but Kubernetes and ECS kill after %s "+
			"what was told to stop, and Docker after 10s: requests under way are cut", all, grace),
			"lower SHUTDOWN_DELAY or SHUTDOWN_TIMEOUT, or raise terminationGracePeriodSeconds "+
				"(stop_grace_period, TimeoutStopSec) above that")
	case c.ShutdownTimeout < time.Second:
		r.warn(id, fmt.Sprintf("SHUTDOWN_TIMEOUT is %s: a stop cuts requests under way",
			c.ShutdownTimeout), "set it to 20s")
	}
	r.okUnless(id, "a stop takes %s at most; Docker alone leaves less than that, 10s, unless "+
		"stop_grace_period says more", all)
	return r
}
