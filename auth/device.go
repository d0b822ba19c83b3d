package auth

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"strconv"
	"strings"
	"time"

	"clientes/store"
)

// A mark says that a user has logged in from a client before: OWASP's "device cookie". It lets nobody in. What it gives
// is a count of failed logins of its own, so that strangers who fail under the user's name do not keep the user out.
//
// It is "<user id>.<device id>.<generation>.<when it was used>.<MAC>", the last in seconds since 1970. The MAC, under a
// key that is derived from the secret, makes it one of ours without a question to the store. The generation is the
// user's of marks: raising it cancels all of them at once. Nothing is kept of a device but the count of its failures.

// DeviceTokenTTL is for how long a mark is good after its last use.
const DeviceTokenTTL = 90 * 24 * time.Hour

// MaxDeviceToken is the longest mark that is looked at, in bytes.
const MaxDeviceToken = 256

// mark is what a mark says.
type mark struct {
	userID     int64
	device     string // 128 random bits in base64url
	generation int64
	usedAt     time.Time
}

// good says whether it is a mark of this user that was neither cancelled nor left unused for too long.
func (m mark) good(u store.User, now time.Time) bool {
	return u.ID != 0 && m.userID == u.ID && m.generation == u.DeviceGeneration && now.Before(m.usedAt.Add(DeviceTokenTTL))
}

func (k key) markMAC(text string) []byte {
	h := hmac.New(sha256.New, k.device)
	h.Write([]byte(text))
	return h.Sum(nil)
}

// newMark gives the mark of a user's device that is used now.
func (t *tokens) newMark(u store.User, device string) string {
	text := strings.Join([]string{
		strconv.FormatInt(u.ID, 10), device, strconv.FormatInt(u.DeviceGeneration, 10), strconv.FormatInt(t.now().Unix(), 10),
	}, ".")
	return text + "." + base64.RawURLEncoding.EncodeToString(t.keys[0].markMAC(text))
}

// parseMark reads a mark of ours, under any of the secrets. Whether it is good is for the user's row to say.
func (t *tokens) parseMark(s string) (m mark, ok bool) {
	if len(s) > MaxDeviceToken || !isTokenText(s) {
		return mark{}, false
	}
	text, sum, _ := cutLast(s, ".")
	mac, err := strictBase64.DecodeString(sum)
	if err != nil {
		return mark{}, false
	}
	ours := false
	for _, k := range t.keys {
		ours = ours || hmac.Equal(k.markMAC(text), mac)
	}
	parts := strings.Split(text, ".")
	if !ours || len(parts) != 4 {
		return mark{}, false
	}
	var numbers [3]int64
	for i, part := range []string{parts[0], parts[2], parts[3]} {
		if numbers[i], err = strconv.ParseInt(part, 10, 64); err != nil {
			return mark{}, false
		}
	}
	return mark{userID: numbers[0], device: parts[1], generation: numbers[1], usedAt: time.Unix(numbers[2], 0)}, true
}
