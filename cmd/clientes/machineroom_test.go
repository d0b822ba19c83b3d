//go:build linux

package main

import (
	"fmt"
	"io"
	"maps"
	"math"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/jackc/pgx/v5"

	"clientes/auth/authtest"
	"clientes/store/postgres/postgrestest"
)

// night records what Prometheus would see of a fault, in phases. Within a phase every value stays
// as it was scraped.
type night struct {
	phases []phase
}

// phase is some time in which nothing changes.
type phase struct {
	samples int               // one every sampleEvery
	values  map[string]string // by series
	alerts  []string          // that are firing at its end
}

const sampleEvery = 15 * time.Second

// The phases of a fault that lasts for five minutes. The last one is long enough for every alert to
// end.
const (
	beforeIt = 8
	duringIt = 20
	afterIt  = 100
)

// look scrapes the replicas. One that does not answer is down.
func (n *night) look(t *testing.T, samples int, alerts []string, replicas ...*server) string {
	t.Helper()
	p := phase{samples: samples, values: make(map[string]string), alerts: alerts}
	var texts strings.Builder
	for i, s := range replicas {
		of := fmt.Sprintf(`job="clientes",instance="%c"`, 'a'+i)
		text, up := s.scrape(t), "0"
		texts.WriteString(text)
		if text != "" {
			up = "1"
		}
		p.values["up{"+of+"}"] = up
		for _, m := range sampleLine.FindAllStringSubmatch(text, -1) {
			labels := of
			if m[2] != "" {
				labels += "," + m[2]
			}
			value := m[0][strings.LastIndex(m[0], " ")+1:]
			if f, err := strconv.ParseFloat(value, 64); err == nil && !math.IsNaN(f) {
				p.values[m[1]+"{"+labels+"}"] = strconv.FormatFloat(f, 'f', -1, 64)
			}
		}
	}
	n.phases = append(n.phases, p)
	return texts.String()
}

// scrape returns what a server reports, nothing if it is gone.
func (s *server) scrape(t *testing.T) string {
	t.Helper()
	resp, err := http.Get("http://" + s.metricsAddr(t) + "/metrics")
	if err != nil {
		return ""
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	authtest.Must(t, err)
	return string(body)
}

// wantAlerts has promtool evaluate the rules upon what was recorded: at the end of each phase
// exactly its alerts are firing.
func (n *night) wantAlerts(t *testing.T) {
	t.Helper()
	type sample struct {
		Labels string  `json:"labels"`
		Value  float64 `json:"value"`
	}
	type expectation struct {
		Expr     string   `json:"expr"`
		EvalTime string   `json:"eval_time"`
		Samples  []sample `json:"exp_samples"`
	}
	type input struct {
		Series string `json:"series"`
		Values string `json:"values"`
	}
	var expected []expectation
	series := make(map[string]bool)
	total := 0
	for _, p := range n.phases {
		for name := range p.values {
			series[name] = true
		}
		total += p.samples
		e := expectation{
			// Whether calls waited in vain, or were refused, depends on how many there were.
			Expr: `count by (alertname) (ALERTS{
				alertstate="firing", alertname!~"ClientesPool(Timeouts|Refuses)"}) ^ 0`,
			EvalTime: (time.Duration(total-1) * sampleEvery).String(),
			Samples:  []sample{},
		}
		for _, a := range p.alerts {
			e.Samples = append(e.Samples, sample{fmt.Sprintf("{alertname=%q}", a), 1})
		}
		expected = append(expected, e)
	}
	var inputs []input
	for name := range series {
		var values []string
		for _, p := range n.phases {
			value, there := p.values[name]
			if !there {
				value = "_"
			}
			values = append(values, fmt.Sprintf("%sx%d", value, p.samples-1))
		}
		inputs = append(inputs, input{name, strings.Join(values, " ")})
	}
	all, err := filepath.Abs(filepath.Join(projectRoot, opsFolder, "alerts.yml"))
	authtest.Must(t, err)
	text, err := json.Marshal(map[string]any{
		"rule_files":          []string{all},
		"evaluation_interval": sampleEvery.String(),
		"tests": []any{map[string]any{
			"interval": sampleEvery.String(), "input_series": inputs, "promql_expr_test": expected,
		}},
	})
	authtest.Must(t, err)
	file := filepath.Join(t.TempDir(), "night.yml")
	authtest.Must(t, os.WriteFile(file, text, 0o600))
	if out, err := promtool(t, nil, "test", "rules", file); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}

// sign is what tells an operator of a fault.
type sign struct {
	log    string   // a part of a line of the log
	readyz string   // what /readyz answers
	status int      // of a list of customers meanwhile, 0 for no answer
	metric string   // a line of a scrape
	alerts []string // that are firing after five minutes
}

// inTable fails the test unless the page has these signs in its row of that fault.
func (s sign) inTable(t *testing.T, fault string) {
	t.Helper()
	_, rest, found := strings.Cut(readProjectFile(t, operationsPage), "\n| "+fault+" |")
	if !found {
		t.Errorf("%s has no row %q", operationsPage, fault)
	}
	row, rest, _ := strings.Cut(rest, "\n")
	for line := range strings.Lines(rest) {
		if !strings.HasPrefix(line, "| | ") {
			break
		}
		row += line
	}
	for _, text := range append([]string{s.log, s.readyz, s.metric}, s.alerts...) {
		if !strings.Contains(row, text) {
			t.Errorf("the row %q of %s does not have %q", fault, operationsPage, text)
		}
	}
	if !strings.Contains(row, fmt.Sprintf("| %d |", s.status)) {
		t.Errorf("the row %q of %s does not have the status %d", fault, operationsPage, s.status)
	}
}

// observed starts a server with metrics and a user, and returns a token of that user.
func observed(t *testing.T, url string, settings ...string) (m machine, token string) {
	t.Helper()
	add := command(t, []string{"DATABASE_URL=" + url}, "user", "add", "ana",
		"--role", "editor", "--password-stdin")
	add.Stdin = strings.NewReader(goodPassword)
	out, err := add.CombinedOutput()
	if err != nil && !strings.Contains(string(out), "there is a user of that name already") {
		t.Fatalf("%v: %s", err, out)
	}
	environ := append([]string{
		"DATABASE_URL=" + url, "SECRET=" + goodSecret, "METRICS_ADDR=127.0.0.1:0",
	}, settings...)
	m = machine{launch(t, environ, "serve"), url}
	m.wantReady(t)
	return m, m.token(t)
}

// list asks for customers, and returns the status of the answer.
func (m machine) list(t *testing.T, token string) int {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), "GET", m.server.url("/clientes"), nil)
	authtest.Must(t, err)
	req.Header.Set("x-access-token", token)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0
	}
	resp.Body.Close()
	return resp.StatusCode
}

// wantSigns records a fault: before it, while it lasts, and after its end.
func (m machine) wantSigns(t *testing.T, s sign, token string, fault, end func()) {
	t.Helper()
	var n night
	n.look(t, beforeIt, nil, m.server)
	from := len(m.stderr.String())
	fault()
	if s.readyz == "200" {
		m.wantReady(t)
	} else {
		m.wantReadyz(t, 503, s.readyz)
	}
	authtest.Eventually(t, "the log says "+s.log, func() bool {
		return strings.Contains(m.stderr.String()[from:], s.log)
	})
	if status := m.list(t, token); status != s.status {
		t.Errorf("a request has status %d, want %d", status, s.status)
	}
	var text string
	authtest.Eventually(t, "a scrape has "+s.metric, func() bool {
		text = m.scrape(t)
		return strings.Contains(text, s.metric)
	})
	n.look(t, duringIt, s.alerts, m.server)
	end()
	m.wantReady(t)
	authtest.Eventually(t, "a request is answered", func() bool { return m.list(t, token) == 200 })
	n.look(t, afterIt, nil, m.server)
	for line := range strings.Lines(m.stderr.String()[from:]) {
		if !strings.Contains(line, `"path":"/readyz"`) {
			t.Log(strings.TrimSpace(line))
		}
	}
	n.wantAlerts(t)
}

// execute runs statements as a superuser.
func execute(t *testing.T, url string, statements ...string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	authtest.Must(t, err)
	defer conn.Close(t.Context())
	for _, sql := range statements {
		_, err := conn.Exec(t.Context(), sql)
		authtest.Must(t, err)
	}
}

// TestMachineRoom makes each fault of the machine room happen to a real server. The table of
// OPERATIONS.md says what tells an operator of it.
func TestMachineRoom(t *testing.T) {
	const (
		storeFailed = `"store":"failed"`
		storeMetric = `clientes_ready{check="store"} 0`
	)
	notReady := []string{"ClientesNotReady"}
	blind := []string{"ClientesEndedSessionsUnknown", "ClientesNotReady"}
	if !long() {
		t.Skip("TEST_LONG is not set")
	}
	stories := map[string]struct {
		sign
		story func(t *testing.T, s sign)
	}{
		"kill": {
			sign{`"msg":"opened the database"`, "connection refused", 0, `up 0`,
				[]string{"ClientesDown"}},
			func(t *testing.T, s sign) {
				var n night
				m, token := observed(t, "sqlite:"+filepath.Join(t.TempDir(), "clientes.db"))
				n.look(t, beforeIt, nil, m.server)
				from := len(m.stderr.String())
				authtest.Must(t, m.cmd.Process.Kill())
				m.wait()
				_, err := http.Get(m.server.url("/readyz"))
				if err == nil || !strings.Contains(err.Error(), s.readyz) {
					t.Errorf("/readyz: %v", err)
				}
				if log := m.stderr.String()[from:]; strings.Contains(log, "WARN") ||
					strings.Contains(log, "ERROR") {
					t.Errorf("a killed process says %s", log)
				}
				n.look(t, duringIt, s.alerts, m.server)
				again, _ := observed(t, m.url)
				if log := again.stderr.String(); !strings.Contains(log, s.log) {
					t.Errorf("the new process says %s", log)
				}
				if status := again.list(t, token); status != 200 {
					t.Errorf("a token from before the kill: %d", status)
				}
				n.look(t, afterIt, nil, again.server)
				n.wantAlerts(t)
			},
		},
		"kill of the process that hashes passwords": {
			sign{"the process that hashes passwords has ended", "200", 200,
				"clientes_password_hasher_restarts_total 1", []string{"ClientesHasherRestarts"}},
			func(t *testing.T, s sign) {
				m, token := observed(t, "sqlite:"+filepath.Join(t.TempDir(), "clientes.db"))
				hasher := children(t, m.cmd.Process.Pid)[0]
				m.wantSigns(t, s, token,
					func() { authtest.Must(t, syscall.Kill(hasher, syscall.SIGKILL)) },
					func() {})
			},
		},
		"disk full": {
			sign{"the disk is full (SQLITE_FULL); make room on it", storeFailed, 200,
				storeMetric, notReady},
			func(t *testing.T, s sign) {
				folder := smallDisk(t)
				m, token := observed(t, "sqlite:"+filepath.Join(folder, "clientes.db"))
				ballast := filepath.Join(folder, "ballast")
				m.wantSigns(t, s, token,
					func() { fill(t, ballast) },
					func() { authtest.Must(t, os.Remove(ballast)) })
			},
		},
		"clock": {
			sign{"the clock of the database server was set", "200", 200,
				"clientes_clock_steps_total 1", []string{"ClientesClockStepped"}},
			func(t *testing.T, s sign) {
				c := postgrestest.Start(t)
				// The clock of this machine is that of all tests. So the server's clock is another
				// function of this name, which comes before the usual one.
				execute(t, c.URL, "CREATE SCHEMA clock",
					"CREATE TABLE clock.step AS SELECT interval '0' AS by",
					`CREATE FUNCTION clock.clock_timestamp() RETURNS timestamptz LANGUAGE sql AS
						'SELECT pg_catalog.clock_timestamp() + by FROM clock.step'`)
				m, token := observed(t, c.URL+"&search_path=public,clock,pg_catalog")
				m.wantSigns(t, s, token,
					func() { execute(t, c.URL, "UPDATE clock.step SET by = '1 hour'") },
					func() { execute(t, c.URL, "UPDATE clock.step SET by = '0'") })
			},
		},
		"silent line": {
			sign{"has not said in 3.5s which sessions ended", storeFailed, 503, storeMetric, blind},
			func(t *testing.T, s sign) {
				c := postgrestest.Start(t)
				cable, through := postgrestest.NewCable(t, c.URL)
				m, token := observed(t, through)
				m.wantSigns(t, s, token, func() { cable.Cut(postgrestest.Silent) }, cable.Join)
			},
		},
		"standby": {
			sign{"the database is read-only", storeFailed, 503, storeMetric, blind},
			func(t *testing.T, s sign) {
				c := postgrestest.Start(t)
				m, token := observed(t, c.URL)
				mark := filepath.Join(dataOf(t, c.URL), "standby.signal")
				m.wantSigns(t, s, token,
					func() {
						c.Stop()
						authtest.Must(t, os.WriteFile(mark, nil, 0o666))
						authtest.Must(t, os.Chmod(mark, 0o666))
						c.Start()
					},
					func() { execute(t, c.URL, "SELECT pg_promote()") })
			},
		},
		"failover": {
			sign{"the database is read-only", storeFailed, 503, storeMetric, blind},
			func(t *testing.T, s sign) {
				primary := postgrestest.Start(t, "synchronous_commit = local")
				cable, through := postgrestest.NewCable(t, primary.URL)
				m, token := observed(t, through)
				standby := primary.Standby(t)
				m.wantSigns(t, s, token,
					func() {
						primary.Kill()
						cable.Lead(t, standby.URL)
					},
					standby.Promote)
			},
		},
		"pooler restart": {
			sign{"the server of the database cannot be reached", storeFailed, 503,
				storeMetric, blind},
			func(t *testing.T, s sign) {
				c := postgrestest.Start(t)
				m, token := observed(t, c.Pooler(t, 8)(c.URL))
				m.wantSigns(t, s, token, c.KillPooler, func() { c.Pooler(t, 8) })
			},
		},
		"read-only": {
			sign{"the database is read-only", storeFailed, 200, storeMetric, notReady},
			func(t *testing.T, s sign) {
				c := postgrestest.Start(t)
				m, token := observed(t, c.URL)
				set := func(to string) {
					execute(t, c.URL, "SET default_transaction_read_only = off",
						"ALTER SYSTEM SET default_transaction_read_only = "+to,
						"SELECT pg_reload_conf()")
				}
				m.wantSigns(t, s, token, func() { set("on") }, func() { set("off") })
			},
		},
		"rolling restart": {
			sign{`"msg":"stopping"`, "The server is stopping", 200,
				`clientes_ready{check="draining"} 0`, nil},
			rollingRestart,
		},
	}
	for _, fault := range slices.Sorted(maps.Keys(stories)) {
		t.Run(fault, func(t *testing.T) {
			t.Parallel()
			needs(t, "promtool")
			s := stories[fault]
			s.sign.inTable(t, fault)
			s.story(t, s.sign)
		})
	}
}

// rollingRestart restarts three replicas one by one. Nobody is woken.
func rollingRestart(t *testing.T, s sign) {
	c := postgrestest.Start(t)
	var n night
	var replicas []*server
	var token string
	for range 3 {
		var m machine
		m, token = observed(t, c.URL, "SHUTDOWN_DELAY=10s")
		replicas = append(replicas, m.server)
	}
	n.look(t, beforeIt, nil, replicas...)
	for i, old := range replicas {
		old.signal(t)
		old.wantReadyz(t, 503, s.readyz)
		if status := (machine{old, c.URL}).list(t, token); status != s.status {
			t.Errorf("a request while it stops has status %d", status)
		}
		if scraped := n.look(t, 3, nil, replicas...); !strings.Contains(scraped, s.metric) {
			t.Errorf("no %s in a scrape of a replica that stops", s.metric)
		}
		if status := old.wait(); status != 0 {
			t.Errorf("status %d", status)
		}
		for _, line := range []string{s.log, `"msg":"stopped"`} {
			if log := old.stderr.String(); !strings.Contains(log, line) {
				t.Errorf("no %s in the log: %s", line, log)
			}
		}
		n.look(t, 2, nil, replicas...)
		m, _ := observed(t, c.URL, "SHUTDOWN_DELAY=10s")
		replicas[i] = m.server
		n.look(t, 8, nil, replicas...)
	}
	n.look(t, afterIt, nil, replicas...)
	n.wantAlerts(t)
}
