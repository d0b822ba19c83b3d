package wire

import (
	"errors"
	"math/rand/v2"
	"testing"
	"time"

	"clientes/store"
)

func TestAppendTime(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, ms := range []int64{
		0, 1, 999, 1_700_000_000_000, 253402300799999,
		r.Int64N(4e12), r.Int64N(4e12), r.Int64N(4e12),
	} {
		at := time.UnixMilli(ms)
		want := at.UTC().Format(`"2006-01-02T15:04:05.000Z"`)
		if got := string(appendTime(nil, at)); got != want {
			t.Errorf("%d is %s, want %s", ms, got, want)
		}
	}
}

// Any body becomes a customer that is valid and comes back as it was, or is refused with an error
// that names what is wrong.
func FuzzClienteBody(f *testing.F) {
	f.Add([]byte(`{"name":"Ana","email":"ana@example.com","id":1}`))
	f.Add([]byte(`{"name":null,"x":[{}]}`))
	f.Add([]byte("{\"name\":\"\\ud800\"}"))
	f.Add([]byte("{'name': None, // x\n}"))
	f.Add([]byte("{\"E-mail\":\"\u200ba@b \",\"cliente\":{}} {"))
	f.Add([]byte("{\"phone\":5, \"a\":[1,}"))
	f.Fuzz(func(t *testing.T, data []byte) {
		var body ClienteBody
		if err := Unmarshal("body", data, &body); err != nil {
			if malformed := new(MalformedError); !errors.As(err, &malformed) {
				t.Fatalf("%q: %v", data, err)
			}
			return
		}
		c, err := body.Cliente()
		if err != nil {
			if invalid := new(store.InvalidError); !errors.As(err, &invalid) {
				t.Fatalf("%q: %v", data, err)
			}
			return
		}
		if valid, err := c.Validate(); err != nil || valid != c {
			t.Fatalf("%+v is not valid: %v", c, err)
		}
		var again ClienteBody
		if err := Unmarshal("body", AppendCliente(nil, &c), &again); err != nil {
			t.Fatal(err)
		}
		if d, err := again.Cliente(); err != nil || d != c {
			t.Fatalf("%+v comes back as %+v, %v", c, d, err)
		}
		// RFC 7396: a patch with every member is a replacement.
		if body.given == again.given {
			old := store.Cliente{ID: 1, Name: "old", Notes: "old"}
			p, err := body.Patch()
			r := Replacement(c)
			if err != nil || p.Apply(old) != r.Apply(old) {
				t.Fatalf("%q patches to %+v, %v", data, p.Apply(old), err)
			}
		}
	})
}
