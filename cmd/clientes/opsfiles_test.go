package main

import (
	"errors"
	"io"
	"maps"
	"net"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"

	"clientes/auth/authtest"
	"clientes/cmd/clientes/config"
)

// unitLines returns the values of a setting of the systemd unit.
func unitLines(unit, name string) (values []string) {
	for line := range strings.Lines(unit) {
		if value, ok := strings.CutPrefix(strings.TrimSpace(line), name+"="); ok {
			values = append(values, value)
		}
	}
	return values
}

// TestUnit checks the unit of systemd with systemd's own program, which need not run for it.
func TestUnit(t *testing.T) {
	t.Parallel()
	unit := readProjectFile(t, opsFolder+"clientes.service")
	for _, e := range unitLines(unit, "Environment") {
		name, _, _ := strings.Cut(e, "=")
		if !isSettingOrGos(name) {
			t.Errorf("%s is no setting", name)
		}
	}
	stop, err := strconv.Atoi(strings.Join(unitLines(unit, "TimeoutStopSec"), ","))
	authtest.Must(t, err)
	wantTimeToStop(t, nil, time.Duration(stop)*time.Second)
	mem := unitLines(unit, "MemoryMax")[0]
	if mem != "1G" || !strings.Contains(unit, "GOMEMLIMIT=512MiB") {
		t.Errorf("MemoryMax is %s, and GOMEMLIMIT is to be half of it", mem)
	}

	needs(t, "systemd-analyze")
	file := filepath.Join(t.TempDir(), "clientes.service")
	const program = "ExecStart=/usr/local/bin/clientes "
	if !strings.Contains(unit, program) {
		t.Fatal("the unit starts another program")
	}
	unit = strings.Replace(unit, program, "ExecStart=/bin/true ", 1) // which is there
	authtest.Must(t, os.WriteFile(file, []byte(unit), 0o600))
	for _, args := range [][]string{
		{"verify", "--man=no", "--recursive-errors=no", file},
		// In tenths, of ten. A unit without any limits has 96.
		{"security", "--offline=true", "--threshold=12", "--no-pager", file},
	} {
		out, err := exec.CommandContext(t.Context(), "systemd-analyze", args...).CombinedOutput()
		if err != nil || args[0] == "verify" && len(out) > 0 {
			t.Errorf("systemd-analyze %s: %v: %s", args[0], err, out)
		}
	}
}

// isSettingOrGos reports whether a variable is one of ours, or of Go's runtime.
func isSettingOrGos(name string) bool {
	return slices.Contains(config.Names(), name) || name == "GOMEMLIMIT"
}

// wantTimeToStop fails the test unless a server with these settings stops in that time.
func wantTimeToStop(t *testing.T, settings map[string]string, has time.Duration) {
	t.Helper()
	// The defaults are those of the page.
	total := 2 * time.Second
	page := readProjectFile(t, "cmd/clientes/README.md")
	for _, name := range []string{"SHUTDOWN_DELAY", "SHUTDOWN_TIMEOUT"} {
		value, set := settings[name]
		if !set {
			row := regexp.MustCompile("(?m)^\\| `" + name + "` \\| `(.*?)`")
			value = row.FindStringSubmatch(page)[1]
		}
		d, err := time.ParseDuration(value)
		authtest.Must(t, err)
		total += d
	}
	if has <= total {
		t.Errorf("it is killed after %s, and may take %s", has, total)
	}
}

// object is what the tests read of an object of Kubernetes. Each kind has some of it.
type object struct {
	Kind     string `yaml:"kind"`
	Metadata struct {
		Name   string            `yaml:"name"`
		Labels map[string]string `yaml:"labels"`
	} `yaml:"metadata"`
	Spec struct {
		Replicas int `yaml:"replicas"`
		Template struct {
			Metadata struct {
				Labels map[string]string `yaml:"labels"`
			} `yaml:"metadata"`
			Spec podSpec `yaml:"spec"`
		} `yaml:"template"`
		Selector  any      `yaml:"selector"`
		Ports     []port   `yaml:"ports"`
		Ingress   []policy `yaml:"ingress"`
		Endpoints []struct {
			Port string `yaml:"port"`
		} `yaml:"endpoints"`
	} `yaml:"spec"`
}

type policy struct {
	From []struct {
		NamespaceSelector struct {
			MatchLabels map[string]string `yaml:"matchLabels"`
		} `yaml:"namespaceSelector"`
	} `yaml:"from"`
	Ports []struct {
		Port string `yaml:"port"`
	} `yaml:"ports"`
}

type port struct {
	Name          string `yaml:"name"`
	Port          int    `yaml:"port"`
	TargetPort    string `yaml:"targetPort"`
	ContainerPort int    `yaml:"containerPort"`
}

type podSpec struct {
	Grace           int              `yaml:"terminationGracePeriodSeconds"`
	SecurityContext map[string]any   `yaml:"securityContext"`
	Volumes         []map[string]any `yaml:"volumes"`
	Containers      []container      `yaml:"containers"`
}

type container struct {
	Args  []string `yaml:"args"`
	Ports []port   `yaml:"ports"`
	Env   []struct {
		Name  string `yaml:"name"`
		Value string `yaml:"value"`
	} `yaml:"env"`
	Resources struct {
		Limits map[string]string `yaml:"limits"`
	} `yaml:"resources"`
	Startup         probe          `yaml:"startupProbe"`
	Liveness        probe          `yaml:"livenessProbe"`
	Readiness       probe          `yaml:"readinessProbe"`
	SecurityContext map[string]any `yaml:"securityContext"`
	VolumeMounts    []struct {
		Name      string `yaml:"name"`
		MountPath string `yaml:"mountPath"`
		ReadOnly  bool   `yaml:"readOnly"`
	} `yaml:"volumeMounts"`
}

type probe struct {
	HTTPGet struct {
		Path string `yaml:"path"`
		Port string `yaml:"port"`
	} `yaml:"httpGet"`
	TimeoutSeconds int `yaml:"timeoutSeconds"`
}

func manifest(t *testing.T) map[string]object {
	t.Helper()
	all := make(map[string]object)
	d := yaml.NewDecoder(strings.NewReader(readProjectFile(t, opsFolder+"kubernetes.yaml")))
	for {
		var o object
		err := d.Decode(&o)
		if errors.Is(err, io.EOF) {
			return all
		}
		authtest.Must(t, err)
		all[o.Kind+" "+o.Metadata.Name] = o
	}
}

// TestManifest holds the objects of Kubernetes to the program, to its image, and to each other.
func TestManifest(t *testing.T) {
	objects := manifest(t)
	names := slices.Sorted(maps.Keys(objects))
	if want := []string{
		"Deployment clientes", "NetworkPolicy clientes", "PodDisruptionBudget clientes",
		"Service clientes", "Service clientes-metrics", "ServiceMonitor clientes",
	}; !slices.Equal(names, want) {
		t.Fatalf("the objects are %q", names)
	}
	deployment := objects["Deployment clientes"]
	pod := deployment.Spec.Template.Spec
	c := pod.Containers[0]

	// The settings are those of the program, and it takes their values.
	settings := make(map[string]string)
	for _, e := range c.Env {
		settings[e.Name] = e.Value
		if !isSettingOrGos(e.Name) {
			t.Errorf("%s is no setting", e.Name)
		}
	}
	ports := make(map[string]int)
	for _, p := range c.Ports {
		ports[p.Name] = p.ContainerPort
	}
	_, metrics, err := net.SplitHostPort(settings["METRICS_ADDR"])
	authtest.Must(t, err)
	if strconv.Itoa(ports["http"]) != settings["PORT"] ||
		strconv.Itoa(ports["metrics"]) != metrics {
		t.Errorf("the ports are %v, and the program listens on %s and %s",
			ports, settings["PORT"], metrics)
	}
	wantTimeToStop(t, settings, time.Duration(pod.Grace)*time.Second)
	limit := c.Resources.Limits["memory"]
	soft := strings.TrimSuffix(settings["GOMEMLIMIT"], "B")
	if hard, err := strconv.Atoi(strings.TrimSuffix(limit, "Mi")); err != nil {
		t.Errorf("the limit of memory is %q", limit)
	} else if n, err := strconv.Atoi(strings.TrimSuffix(soft, "Mi")); err != nil || n*4 > hard*3 {
		t.Errorf("GOMEMLIMIT is %s of %s, which leaves too little to the other process", soft, limit)
	}
	for path, p := range map[string]probe{
		"/healthz": c.Startup, "/healthz ": c.Liveness, "/readyz": c.Readiness,
	} {
		if p.HTTPGet.Path != strings.TrimSpace(path) || p.HTTPGet.Port != "http" {
			t.Errorf("a probe of %s requests %+v", path, p.HTTPGet)
		}
	}
	if c.Readiness.TimeoutSeconds < 5 {
		t.Error("the checks of /readyz may take four seconds")
	}
	mounts := wantMounts(t, c, settings)
	dockerfile := readProjectFile(t, "Dockerfile")
	if !strings.Contains(dockerfile, "\nENV TMPDIR="+mounts["tmp"]+"\n") {
		t.Errorf("the image has its temporary files elsewhere than in %s", mounts["tmp"])
	}
	inFolder(t, nil)
	wantAccepted(t, settings)

	wantRestricted(t, pod, dockerfile)
	wantPorts(t, objects, ports)
}

// wantMounts checks that the secrets are where the settings look for them. It returns the paths of
// all volumes.
func wantMounts(t *testing.T, c container, settings map[string]string) map[string]string {
	t.Helper()
	mounts := make(map[string]string)
	for _, m := range c.VolumeMounts {
		mounts[m.Name] = m.MountPath
		if m.Name == "secrets" && !m.ReadOnly {
			t.Error("the secrets can be written")
		}
	}
	for name, value := range settings {
		if strings.HasSuffix(name, "_FILE") && path.Dir(value) != mounts["secrets"] {
			t.Errorf("%s is %s, and the secrets are in %s", name, value, mounts["secrets"])
		}
		if strings.Contains(name, "SECRET") && !strings.HasSuffix(name, "_FILE") {
			t.Errorf("%s holds a secret", name)
		}
	}
	return mounts
}

// wantAccepted has the program look at the settings, with secrets in a folder of the test.
func wantAccepted(t *testing.T, settings map[string]string) {
	t.Helper()
	vars := maps.Clone(settings)
	for name, secret := range map[string]string{
		"SECRET_FILE": goodSecret, "ROOT_SECRET_FILE": otherSecret,
		"DATABASE_URL_FILE": "postgres://clientes:x@db/clientes?sslmode=verify-full",
	} {
		vars[name] = filepath.Join(t.TempDir(), path.Base(settings[name]))
		authtest.Must(t, os.WriteFile(vars[name], []byte(secret+"\n"), 0o600))
	}
	if r := call(t, vars, "", "config"); r.status != 0 || r.stderr != "" {
		t.Errorf("the settings: status %d, %s", r.status, r.stderr)
	}
}

// wantRestricted holds a pod to the restricted profile of Kubernetes's pod security standards, and
// to a root that is read-only.
func wantRestricted(t *testing.T, pod podSpec, dockerfile string) {
	t.Helper()
	want := func(got any, want, what string) {
		t.Helper()
		b, err := yaml.MarshalWithOptions(got, yaml.Flow(true))
		if text := strings.TrimSpace(string(b)); err != nil || text != want {
			t.Errorf("%s is %s, want %s, %v", what, text, want, err)
		}
	}
	p, c := pod.SecurityContext, pod.Containers[0].SecurityContext
	want(p["runAsNonRoot"], "true", "runAsNonRoot")
	want(p["seccompProfile"], "{type: RuntimeDefault}", "seccompProfile")
	want(c["allowPrivilegeEscalation"], "false", "allowPrivilegeEscalation")
	want(c["readOnlyRootFilesystem"], "true", "readOnlyRootFilesystem")
	want(c["capabilities"], "{drop: [ALL]}", "capabilities")
	user := regexp.MustCompile(`(?m)^USER (\d+):`).FindStringSubmatch(dockerfile)[1]
	want(p["runAsUser"], user, "runAsUser")
	want(p["fsGroup"], user, "fsGroup")
}

// wantPorts checks that services and policies lead to the ports of the container, and that only
// the monitoring reaches the metrics.
func wantPorts(t *testing.T, objects map[string]object, ports map[string]int) {
	t.Helper()
	for _, name := range []string{"Service clientes", "Service clientes-metrics"} {
		for _, p := range objects[name].Spec.Ports {
			if ports[p.TargetPort] == 0 {
				t.Errorf("%s leads to a port %q, which there is not", name, p.TargetPort)
			}
		}
	}
	var rules []string
	for _, in := range objects["NetworkPolicy clientes"].Spec.Ingress {
		for _, from := range in.From {
			for _, p := range in.Ports {
				rules = append(rules, p.Port+" from "+
					from.NamespaceSelector.MatchLabels["kubernetes.io/metadata.name"])
			}
		}
	}
	want := []string{"http from ingress-nginx", "metrics from monitoring"}
	if !slices.Equal(rules, want) {
		t.Errorf("the network policy lets through %q", rules)
	}
	monitor := objects["ServiceMonitor clientes"]
	service := objects["Service clientes-metrics"]
	if len(monitor.Spec.Endpoints) != 1 ||
		monitor.Spec.Endpoints[0].Port != service.Spec.Ports[0].Name {
		t.Errorf("the monitor looks at %+v", monitor.Spec.Endpoints)
	}
	// The job of the alerts is this label's value.
	if service.Metadata.Labels["app.kubernetes.io/name"] != "clientes" {
		t.Errorf("the job is called %v", service.Metadata.Labels)
	}
}
