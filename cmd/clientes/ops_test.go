package main

import (
	"fmt"
	"io"
	"maps"
	"net/http"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/goccy/go-yaml"

	"clientes/auth/authtest"
)

// The rules of Prometheus, the dashboard, and the page that explains both.
const (
	opsFolder      = "cmd/clientes/ops/"
	operationsPage = "cmd/clientes/OPERATIONS.md"
)

// promtool runs Prometheus's own program in the folder of the rules, and returns what it prints.
func promtool(t *testing.T, stdin io.Reader, args ...string) (string, error) {
	t.Helper()
	needs(t, "promtool")
	cmd := exec.CommandContext(t.Context(), "promtool", args...)
	cmd.Dir = filepath.Join(projectRoot, opsFolder)
	cmd.Stdin = stdin
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// rule is one of alerts.yml.
type rule struct {
	Record      string            `yaml:"record"`
	Alert       string            `yaml:"alert"`
	Expr        string            `yaml:"expr"`
	Labels      map[string]string `yaml:"labels"`
	Annotations map[string]string `yaml:"annotations"`
}

func rules(t *testing.T) (all []rule) {
	t.Helper()
	var file struct {
		Groups []struct {
			Rules []rule `yaml:"rules"`
		} `yaml:"groups"`
	}
	authtest.Must(t, yaml.Unmarshal([]byte(readProjectFile(t, opsFolder+"alerts.yml")), &file))
	for _, g := range file.Groups {
		all = append(all, g.Rules...)
	}
	if len(all) < 20 {
		t.Fatalf("only %d rules were found", len(all))
	}
	return all
}

// TestAlertsSayWhatToDo checks that whoever is woken knows what is wrong, and where to read on.
func TestAlertsSayWhatToDo(t *testing.T) {
	page := readProjectFile(t, operationsPage)
	stories := readProjectFile(t, opsFolder+"alerts_test.yml")
	for _, r := range rules(t) {
		if r.Alert == "" {
			continue
		}
		if s := r.Labels["severity"]; s != "critical" && s != "warning" {
			t.Errorf("%s has the severity %q", r.Alert, s)
		}
		for _, name := range []string{"summary", "description"} {
			if s := r.Annotations[name]; !strings.HasSuffix(s, ".") {
				t.Errorf("the %s of %s is no sentence: %q", name, r.Alert, s)
			}
		}
		file, anchor, _ := strings.Cut(r.Annotations["runbook_url"], "#")
		leads := file == operationsPage && hasHeading(page, anchor)
		if !leads || anchor != strings.ToLower(r.Alert) {
			t.Errorf("the page has no section %s", r.Annotations["runbook_url"])
		}
		of := regexp.QuoteMeta(fmt.Sprintf(`alertname="%s"`, r.Alert)) + `.*exp_samples: \[`
		for what, samples := range map[string]string{"comes": `\{`, "does not come": `\]`} {
			if !regexp.MustCompile(of + samples).MatchString(stories) {
				t.Errorf("no story in alerts_test.yml in which %s %s", r.Alert, what)
			}
		}
	}
}

func TestPromtoolAcceptsTheRules(t *testing.T) {
	if out, err := promtool(t, nil, "check", "rules", "--lint-fatal", "alerts.yml"); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}

// TestOpsAlertsComeAndGo runs the stories of alerts_test.yml, which takes some 15 seconds.
func TestOpsAlertsComeAndGo(t *testing.T) {
	if !long() {
		t.Skip("TEST_LONG is not set")
	}
	t.Parallel()
	if out, err := promtool(t, nil, "test", "rules", "alerts_test.yml"); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}

// series are the values of each label of a metric, by the names of both.
type series map[string]map[string][]string

var (
	sampleLine = regexp.MustCompile(`(?m)^(\w+)(?:\{(.*)\})? \S+$`)
	labelPair  = regexp.MustCompile(`(\w+)="((?:[^"\\]|\\.)*)"`)
)

// add reads the answer of /metrics.
func (s series) add(scrape string) {
	for _, m := range sampleLine.FindAllStringSubmatch(scrape, -1) {
		labels := s[m[1]]
		if labels == nil {
			labels = make(map[string][]string)
			s[m[1]] = labels
		}
		for _, pair := range labelPair.FindAllStringSubmatch(m[2], -1) {
			if !slices.Contains(labels[pair[1]], pair[2]) {
				labels[pair[1]] = append(labels[pair[1]], pair[2])
			}
		}
	}
}

// metricsAddr returns where a server answers scrapes. It was started with METRICS_ADDR.
func (s *server) metricsAddr(t *testing.T) string {
	t.Helper()
	var addr string
	authtest.Eventually(t, "it says where the metrics are", func() bool {
		for line := range strings.Lines(s.stderr.String()) {
			var entry struct{ Msg, Addr string }
			if json.Unmarshal([]byte(line), &entry, json.MatchCaseInsensitiveNames(true)) == nil &&
				entry.Msg == "metrics" {
				addr = entry.Addr
			}
		}
		return addr != ""
	})
	return addr
}

// scrape does what Prometheus does.
func scrape(t *testing.T, addr string) string {
	t.Helper()
	resp, err := http.Get("http://" + addr + "/metrics")
	authtest.Must(t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != 200 {
		t.Fatalf("a scrape: status %d, %v", resp.StatusCode, err)
	}
	return string(body)
}

// freshScrapes returns what new servers report, one on each engine, after one request.
func freshScrapes(t *testing.T) (scrapes []string) {
	t.Helper()
	for _, newURL := range engineURLs(t) {
		s := launch(t, []string{
			"DATABASE_URL=" + newURL(t), "SECRET=" + goodSecret, "METRICS_ADDR=127.0.0.1:0",
		}, "serve")
		s.wantReady(t)
		scrapes = append(scrapes, scrape(t, s.metricsAddr(t)))
	}
	return scrapes
}

// TestOpsNameWhatThereIs holds the rules, the dashboard and the table of the page to what a new
// server reports.
func TestOpsNameWhatThereIs(t *testing.T) {
	t.Parallel()
	scrapes := freshScrapes(t)
	there := series{"up": {}}
	for _, text := range scrapes {
		there.add(text)
	}
	for _, r := range rules(t) {
		if r.Record != "" {
			there[r.Record] = map[string][]string{}
		}
	}
	for _, r := range rules(t) {
		for _, fault := range there.faults(r.Expr) {
			t.Errorf("alerts.yml, %s%s: %s", r.Record, r.Alert, fault)
		}
	}
	there["ALERTS"] = map[string][]string{"alertname": nil, "alertstate": {"firing"}}
	queries := dashboardQueries(t)
	if len(queries) < 40 {
		t.Errorf("only %d queries were found in the dashboard", len(queries))
	}
	for _, q := range queries {
		for _, fault := range there.faults(q) {
			t.Errorf("grafana.json, %s: %s", q, fault)
		}
	}
	for _, fault := range tableFaults(readProjectFile(t, operationsPage), there, scrapes) {
		t.Error(fault)
	}
	for _, text := range scrapes {
		out, _ := promtool(t, strings.NewReader(text), "check", "metrics")
		for line := range strings.Lines(out) {
			// This is the name that OpenTelemetry has for it.
			if !strings.HasPrefix(line, "db_client_connection_count ") {
				t.Errorf("promtool check metrics: %s", line)
			}
		}
	}
}

var (
	grouping   = regexp.MustCompile(`\b(?:by|on|without|ignoring|group_left) ?\(([^)]*)\)`)
	selector   = regexp.MustCompile(`([a-zA-Z_:][\w:]*)\s*(\{[^}]*\})?`)
	matcher    = regexp.MustCompile(`(\w+)\s*(=~|!~|!=|=)\s*"([^"]*)"`)
	modifiers  = regexp.MustCompile(`\[[^\]]*\]|\boffset \w+`)
	notMetrics = regexp.MustCompile(`^(and|or|unless|bool|offset)$`)
)

// faults returns what an expression of PromQL names that there is not: metrics, labels of them, and
// values of labels.
func (s series) faults(expr string) (faults []string) {
	// What Prometheus adds to each series, and the variables of the dashboard.
	always := []string{"job", "instance", "le"}
	labels := make(map[string]bool)
	expr = modifiers.ReplaceAllString(expr, "")
	for _, m := range grouping.FindAllStringSubmatch(expr, -1) {
		for name := range strings.SplitSeq(m[1], ",") {
			if name = strings.TrimSpace(name); name != "" && !slices.Contains(always, name) {
				labels[name] = false
			}
		}
	}
	expr = grouping.ReplaceAllString(expr, "")
	metrics := 0
	for _, at := range selector.FindAllStringSubmatchIndex(expr, -1) {
		name := expr[at[2]:at[3]]
		isCall := strings.HasPrefix(strings.TrimSpace(expr[at[1]:]), "(") && at[4] < 0
		if isCall || notMetrics.MatchString(name) {
			continue
		}
		metrics++
		of, known := s[name]
		if !known {
			faults = append(faults, "there is no metric "+name)
			continue
		}
		for label := range labels {
			_, has := of[label]
			labels[label] = labels[label] || has || strings.Contains(name, ":")
		}
		if at[4] < 0 {
			continue
		}
		for _, m := range matcher.FindAllStringSubmatch(expr[at[4]:at[5]], -1) {
			values, known := of[m[1]]
			switch {
			case slices.Contains(always, m[1]):
			case !known:
				faults = append(faults, fmt.Sprintf("%s has no label %s", name, m[1]))
			case strings.HasPrefix(name, "clientes_"): // whose series exist from the start
				pattern := regexp.MustCompile("^(?:" + m[3] + ")$")
				if !slices.ContainsFunc(values, pattern.MatchString) {
					faults = append(faults, fmt.Sprintf("no %s has the %s %q", name, m[1], m[3]))
				}
			}
		}
	}
	if metrics == 0 {
		faults = append(faults, "it names no metric")
	}
	for label, has := range labels {
		if !has {
			faults = append(faults, "no metric of it has the label "+label)
		}
	}
	return faults
}

// TestOpsFaults shows that the check of expressions finds what it is for.
func TestOpsFaults(t *testing.T) {
	there := series{}
	there.add("clientes_a{result=\"ok\"} 1\nclientes_b 2\nup 1\n")
	for expr, want := range map[string]int{
		`clientes_a{result="ok"} > 1 and on (job) clientes_b`:             0,
		`sum by (result) (rate(clientes_a{job="x"}[5m])) or vector(0)`:    0,
		`histogram_quantile(.5, sum by (le) (rate(clientes_b[$__rate])))`: 0,
		`clientes_c`:                         1,
		`sum(rate(clientes_c{job="a"}[1m]))`: 1,
		`clientes_a{kind="ok"}`:              1,
		`clientes_a{result=~"no|nor"}`:       1,
		`sum by (kind) (clientes_a)`:         1,
		`vector(1)`:                          1,
	} {
		if got := there.faults(expr); len(got) != want {
			t.Errorf("%s: got %q, want %d", expr, got, want)
		}
	}
}

// dashboardQueries returns the expressions of the dashboard, which must name no server.
func dashboardQueries(t *testing.T) (queries []string) {
	t.Helper()
	text := readProjectFile(t, opsFolder+"grafana.json")
	if strings.Contains(text, "://") {
		t.Error("grafana.json names a server")
	}
	type target struct {
		Expr string `json:"expr"`
	}
	var board struct {
		Panels []struct {
			Title   string                   `json:"title"`
			Type    string                   `json:"type"`
			Targets []target                 `json:"targets"`
			GridPos struct{ X, Y, W, H int } `json:"gridPos"`
		} `json:"panels"`
		Annotations struct{ List []target } `json:"annotations"`
		Templating  struct {
			List []struct{ Name, Type, Definition string }
		} `json:"templating"`
	}
	authtest.Must(t, json.Unmarshal([]byte(text), &board, json.MatchCaseInsensitiveNames(true)))
	taken := make(map[[2]int]string)
	for _, p := range board.Panels {
		if p.Type != "row" && len(p.Targets) == 0 {
			t.Errorf("the panel %s shows nothing", p.Title)
		}
		for x := range p.GridPos.W {
			for y := range p.GridPos.H {
				at := [2]int{p.GridPos.X + x, p.GridPos.Y + y}
				if other := taken[at]; other != "" {
					t.Fatalf("the panels %s and %s are in one place", p.Title, other)
				}
				taken[at] = p.Title
			}
		}
		for _, q := range p.Targets {
			queries = append(queries, q.Expr)
		}
	}
	for _, a := range board.Annotations.List {
		queries = append(queries, a.Expr)
	}
	var variables []string
	for _, v := range board.Templating.List {
		variables = append(variables, v.Name)
		if inner, ok := strings.CutPrefix(v.Definition, "label_values("); ok {
			metric, label, _ := strings.Cut(strings.TrimSuffix(inner, ")"), ", ")
			queries = append(queries, fmt.Sprintf("sum by (%s) (%s)", label, metric))
		}
	}
	if !slices.Equal(variables, []string{"datasource", "job", "instance"}) {
		t.Errorf("the variables are %q", variables)
	}
	return queries
}

var (
	typeLine = regexp.MustCompile(`(?m)^# TYPE (\w+) (\w+)$`)

	metricRow = regexp.MustCompile("^\\| `(\\w+)` \\| (\\w+) \\| (.*?)\\|")
	// continuedRow has the rest of the labels of the row above it.
	continuedRow = regexp.MustCompile(`^\| \| \| (.*?)\|`)
)

// tableFaults compares the table of metrics in a page with what servers report, both ways. What
// Go's and the process's collectors report is described by them.
func tableFaults(page string, there series, scrapes []string) (faults []string) {
	types := make(map[string]string)
	for _, text := range scrapes {
		for _, m := range typeLine.FindAllStringSubmatch(text, -1) {
			if !regexp.MustCompile(`^(go|process|promhttp)_`).MatchString(m[1]) {
				types[m[1]] = m[2]
			}
		}
	}
	rows := make(map[string][2]string) // the type and the labels, by name
	last := ""
	for line := range strings.Lines(page) {
		if m := metricRow.FindStringSubmatch(line); m != nil {
			last = m[1]
			rows[last] = [2]string{m[2], m[3]}
		} else if m := continuedRow.FindStringSubmatch(line); m != nil && last != "" {
			rows[last] = [2]string{rows[last][0], rows[last][1] + m[1]}
		} else {
			last = ""
		}
	}
	for name, row := range rows {
		if types[name] != row[0] {
			faults = append(faults, fmt.Sprintf("the page has the %s %s, and the server the %q",
				row[0], name, types[name]))
			continue
		}
		labels := make(map[string]bool)
		for _, suffix := range []string{"", "_count"} {
			for label := range there[name+suffix] {
				labels[label] = true
			}
		}
		var want []string
		for _, l := range regexp.MustCompile("`(\\w+)`").FindAllStringSubmatch(row[1], -1) {
			want = append(want, l[1])
		}
		slices.Sort(want)
		if got := slices.Sorted(maps.Keys(labels)); !slices.Equal(got, want) {
			faults = append(faults, fmt.Sprintf("%s has the labels %q, and in the page %q",
				name, got, want))
		}
	}
	for name := range types {
		if rows[name][0] == "" {
			faults = append(faults, "the page does not say what "+name+" is")
		}
	}
	return faults
}
