package api

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"

	"clientes/api/wire"
	"clientes/auth/authtest"
	"clientes/store"
)

// gzipOf compresses a text.
func gzipOf(text string) string {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, _ = io.WriteString(z, text) // a Buffer takes everything
	_ = z.Close()
	return b.String()
}

func TestCompressedBodies(t *testing.T) {
	f := onSQLite(t)
	packed := gzipOf(loginBody)
	half := gzipOf(loginBody[:20]) + gzipOf(loginBody[20:])
	damaged := []byte(packed)
	damaged[len(damaged)-6] ^= 1
	for _, c := range []struct {
		name, encoding, body string
		status               int
		code, says           string
	}{
		{"gzip", "gzip", packed, 200, "", ""},
		{"in capitals", "GZIP", packed, 200, "", ""},
		{"x-gzip", "x-gzip", packed, 200, "", ""},
		{"identity", "identity", loginBody, 200, "", ""},
		{"an empty encoding", " ", loginBody, 200, "", ""},
		{"two members", "gzip", half, 200, "", ""},
		{"a byte order mark within", "gzip", gzipOf("\ufeff" + loginBody), 200, "", ""},
		{"no gzip", "gzip", loginBody, 400, "malformed_body", "the body is not"},
		{"something after it", "gzip", packed + strings.Repeat("x", 20),
			400, "malformed_body", "end"},
		{"a little after it", "gzip", packed + "x", 400, "malformed_body", "follows"},
		{"cut off", "gzip", packed[:len(packed)-5], 400, "malformed_body", "too early"},
		{"cut off in its header", "gzip", packed[:5], 400, "malformed_body", "too early"},
		{"damaged", "gzip", string(damaged), 400, "malformed_body", "damaged"},
		{"nothing in it", "gzip", gzipOf(""), 400, "malformed_body", "empty"},
		{"no JSON in it", "gzip", gzipOf("x"), 400, "malformed_body", "JSON"},
		{"deflate", "deflate", packed, 415, "unsupported_media_type", "deflate"},
		{"br", "br", packed, 415, "unsupported_media_type", "br"},
		{"zstd", "zstd", packed, 415, "unsupported_media_type", "zstd"},
		{"twice", "gzip, gzip", gzipOf(packed), 415, "unsupported_media_type", "gzip, gzip"},
		{"a charset", "utf-8", loginBody, 415, "unsupported_media_type", "utf-8"},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, a := range []answer{
				f.call("POST", "/login", c.body, "Content-Encoding", c.encoding),
				f.chunked("/login", c.body, "Content-Encoding", c.encoding),
			} {
				f.want(a, c.status, c.code)
				if c.status != 200 {
					f.says(a, c.says)
				}
			}
		})
	}
	const zipped = "Content-Encoding"
	for _, c := range []struct {
		method, path string
		status       int
	}{{"POST", "/clientes", 201}, {"PUT", "/clientes/1", 200}, {"PATCH", "/clientes/1", 200}} {
		body := gzipOf(`{"name":"` + c.method + `"}`)
		f.want(f.as(store.Editor, c.method, c.path, body, zipped, "gzip"), c.status, "")
	}
	f.want(f.call("POST", "/login", gzipOf("user=the-viewer&password=correct+horse"),
		"Content-Type", mediaForm, zipped, "gzip"), 200, "")
	f.want(f.call("POST", "/login", gzipOf(loginBody), "Content-Type", mediaForm, zipped, "gzip"),
		415, "unsupported_media_type")
	for _, encoding := range []string{"gzip", "br"} {
		g := granted(t, f.call("POST", "/login", viewerLogin))
		a := f.call("POST", "/logout", gzipOf(refreshBody(g.RefreshToken)), zipped, encoding,
			"Content-Type", "text/plain")
		if encoding == "br" {
			f.want(a, 415, "unsupported_media_type")
			f.wantToken(g.Token, 200, "")
			continue
		}
		f.want(a, 200, "")
		f.wantToken(g.Token, 401, "token_revoked")
	}
	// Without a body the header means nothing.
	f.want(f.call("POST", "/logout", "", zipped, "gzip"), 200, "")
	f.want(f.as(store.Viewer, "GET", "/clientes", "", zipped, "gzip"), 200, "")
}

// The limits count what a body unpacks to, and so does the room for bodies.
func TestCompressedBodiesHaveLimits(t *testing.T) {
	f := onSQLite(t)
	zipped := []string{"Content-Encoding", "gzip"}
	fits := `{"name":"Ana"}` + strings.Repeat(" ", maxBody-14)
	f.want(f.as(store.Editor, "POST", "/clientes", gzipOf(fits), zipped...), 201, "")
	a := f.as(store.Editor, "POST", "/clientes", gzipOf(fits+" "), zipped...)
	f.want(a, 413, "body_too_large")
	f.says(a, "1 MiB")
	f.want(f.call("POST", "/login", gzipOf(padded(maxStrangersBody)), zipped...), 200, "")
	a = f.call("POST", "/login", gzipOf(padded(maxStrangersBody+1)), zipped...)
	f.want(a, 413, "body_too_large")
	f.says(a, "16 KiB")

	// What cannot be compressed is larger packed than unpacked.
	var stored bytes.Buffer
	z, err := gzip.NewWriterLevel(&stored, gzip.NoCompression)
	authtest.Must(t, err)
	_, err = io.WriteString(z, padded(maxStrangersBody))
	authtest.Must(t, err)
	authtest.Must(t, z.Close())
	f.want(f.call("POST", "/login", stored.String(), zipped...), 200, "")
	// Members with nothing in them cannot go on for ever.
	f.want(f.call("POST", "/login", strings.Repeat(gzipOf(""), 1000), zipped...),
		413, "body_too_large")

	// A bomb takes no memory.
	bomb := gzipOf(strings.Repeat("\x00", 64<<20))
	if int64(len(bomb)) > maxBody {
		t.Fatalf("the bomb has %d bytes", len(bomb))
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f.want(f.as(store.Editor, "POST", "/clientes", bomb, zipped...), 413, "body_too_large")
	runtime.ReadMemStats(&after)
	if took := after.TotalAlloc - before.TotalAlloc; took > 16*maxBody {
		t.Errorf("it took %d bytes", took)
	}

	if !f.server.bodies.isEmpty() || !f.server.strangersBodies.isEmpty() {
		t.Error("room is still taken")
	}
	authtest.Must(t, f.server.bodies.take(occupantOf(f, store.Editor), bodiesOfOne-maxBody))
	f.want(f.as(store.Editor, "POST", "/clientes", gzipOf(fits), zipped...), 503, "overloaded")
	f.want(f.as(store.Editor, "POST", "/clientes", gzipOf(`{"name":"Ana"}`), zipped...), 201, "")
}

func occupantOf(f *fixture, role store.Role) string { return fmt.Sprint(f.users[role].ID) }

func TestCompressedImports(t *testing.T) {
	f := onSQLite(t)
	send := func(file string, format wire.Format, encoding string) answer {
		return f.as(store.Editor, "POST", "/clientes/import", file,
			"Content-Type", string(format), "Content-Encoding", encoding)
	}
	csv := "name,email\n" + strings.Repeat("Ana,\n", 1000)
	a := send(gzipOf(csv), wire.CSV, "gzip")
	if f.want(a, 200, ""); a.body != `{"imported":1000}` {
		t.Errorf("answered %s", a.body)
	}
	f.want(send(gzipOf(`{"name":"Bia"}`+"\n")+gzipOf(`{"name":"Cai"}`+"\n"), wire.NDJSON, "x-gzip"),
		200, "")
	f.want(send(gzipOf("name,email\n,x\n"), wire.CSV, "gzip"), 422, "validation_failed")
	packed := gzipOf(csv)
	for name, file := range map[string]string{
		"cut off": packed[:len(packed)-9], "no gzip": csv, "more": packed + csv, "empty": "x",
	} {
		a := send(file, wire.CSV, "gzip")
		f.want(a, 400, "malformed_body")
		if !strings.Contains(a.body, "gzip") {
			t.Errorf("%s: %s", name, a.body)
		}
	}
	f.want(send(packed, wire.CSV, "br"), 415, "unsupported_media_type")
	f.want(send(packed, wire.CSV, "gzip, gzip"), 415, "unsupported_media_type")
	if n := len(f.all()); n != 1002 {
		t.Errorf("there are %d customers", n)
	}
}

// TestUnpackedImportsHaveALimit unpacks more than the limit of the server, at a smaller one.
func TestUnpackedImportsHaveALimit(t *testing.T) {
	u := &unpacker{
		from: strings.NewReader(gzipOf(strings.Repeat("x", 1001))), left: 1000,
		tooLarge: errImportTooLarge,
	}
	got, err := io.ReadAll(u)
	if err != errImportTooLarge || len(got) > 1000 {
		t.Errorf("read %d bytes: %v", len(got), err)
	}
	if _, err := u.Read(make([]byte, 1)); err != errImportTooLarge {
		t.Errorf("read again: %v", err)
	}
}

func FuzzUnpacker(f *testing.F) {
	f.Add([]byte(gzipOf("text")))
	f.Add([]byte(gzipOf("text") + gzipOf("")))
	f.Add([]byte(gzipOf("text") + "x"))
	f.Add([]byte(gzipOf(strings.Repeat("x", 5000))[:9]))
	f.Fuzz(func(t *testing.T, packed []byte) {
		const limit = 4096
		u := &unpacker{from: bytes.NewReader(packed), left: limit, tooLarge: errBodyTooLarge}
		got, err := io.ReadAll(u)
		if len(got) > limit {
			t.Errorf("it unpacks to %d bytes", len(got))
		}
		if err != nil && err != errBodyTooLarge && !as[*requestError](err) {
			t.Errorf("refused with %v", err)
		}
	})
}
