package throttle_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"clientes/auth/throttle"
	"clientes/store"
)

// counts is a store in memory, for one caller at a time.
type counts map[string]store.Bucket

func (c counts) UpdateBuckets(
	_ context.Context, keys []string, update func([]store.Bucket) error,
) error {
	buckets := make([]store.Bucket, len(keys))
	for i, key := range keys {
		buckets[i] = c[key]
		buckets[i].Key = key
	}
	if err := update(buckets); err != nil {
		return err
	}
	for _, b := range buckets {
		if b.Count == 0 { // the store removes such a row
			delete(c, b.Key)
			continue
		}
		c[b.Key] = b
	}
	return nil
}

func ExampleLimiter_Reserve() {
	ctx := context.Background()
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	limiter := throttle.NewLimiter(counts{}, func() time.Time { return now })
	door := throttle.Bucket{
		Keys:    []string{"the door"},
		Limit:   throttle.Limit{Free: 2, Window: time.Hour, Slowed: true},
		Cleared: true,
	}
	knock := func(word string) {
		r, err := limiter.Reserve(ctx, door)
		var many *throttle.TooManyError
		switch {
		case errors.As(err, &many):
			fmt.Println("wait", many.Wait)
		case word != "sesame":
			fmt.Println("wrong", r.Fail(ctx))
		default:
			fmt.Println("open", r.Succeed(ctx))
		}
	}
	knock("barley")
	knock("oats")
	knock("sesame") // even the right word has to wait
	now = now.Add(time.Second)
	knock("rye")
	knock("sesame") // each failure doubles the wait
	now = now.Add(2 * time.Second)
	knock("sesame")
	knock("barley") // a success has cleared the count
	// Output:
	// wrong <nil>
	// wrong <nil>
	// wait 1s
	// wrong <nil>
	// wait 2s
	// open <nil>
	// wrong <nil>
}

func ExampleNetworkOf() {
	for _, ip := range []string{"192.0.2.1", "2001:db8:1:2:3::1", "::ffff:192.0.2.1", "@"} {
		fmt.Printf("%q\n", throttle.NetworkOf(ip))
	}
	// Output:
	// "192.0.2.1"
	// "2001:db8:1:2::/64"
	// "192.0.2.1"
	// ""
}
