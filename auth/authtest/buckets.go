package authtest

import (
	"context"

	"clientes/store"
)

// Buckets is a [store.Buckets] in memory that deletes nothing by age, for one caller at a time. It
// makes a simulation of a year take a second.
type Buckets map[string]store.Bucket

// UpdateBuckets implements [store.Buckets].
func (m Buckets) UpdateBuckets(
	_ context.Context, keys []string, update func([]store.Bucket) error,
) error {
	buckets := make([]store.Bucket, len(keys))
	for i, key := range keys {
		buckets[i] = m[key]
		buckets[i].Key = key
	}
	if err := update(buckets); err != nil {
		return err
	}
	for _, b := range buckets {
		if b.Count == 0 { // the store removes such a row
			delete(m, b.Key)
			continue
		}
		m[b.Key] = b
	}
	return nil
}
