package api

import (
	"fmt"
	"image"
	"image/color"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/boombuler/barcode/qr"

	"clientes/auth/authtest"
)

// rasterize draws the path of a QR code, a pixel a module. It fails the test for a path that leaves
// the square or draws a module twice.
func rasterize(t *testing.T, path string, size int) *image.Gray {
	t.Helper()
	picture := image.NewGray(image.Rect(0, 0, size, size))
	for i := range picture.Pix {
		picture.Pix[i] = 0xff
	}
	rest := regexp.MustCompile(`M(\d+) (\d+)h(\d+)v1h-(\d+)z`).ReplaceAllStringFunc(path,
		func(s string) string {
			var x, y, width, back int
			_, err := fmt.Sscanf(s, "M%d %dh%dv1h-%dz", &x, &y, &width, &back)
			authtest.Must(t, err)
			if width != back {
				t.Errorf("%s is no rectangle", s)
			}
			for i := range width {
				if !(image.Point{X: x + i, Y: y}).In(picture.Rect) ||
					picture.GrayAt(x+i, y) == (color.Gray{}) {
					t.Fatalf("%s is outside, or drawn twice", s)
				}
				picture.SetGray(x+i, y, color.Gray{})
			}
			return ""
		})
	if rest != "" {
		t.Errorf("the path has %.80q in it", rest)
	}
	return picture
}

func TestQR(t *testing.T) {
	longest := "otpauth://totp/" + strings.Repeat("%F0%9F%98%80", 63) + ":" +
		url.PathEscape(strings.Repeat("é", 127)) + "?secret=" + strings.Repeat("A", 32) +
		"&issuer=" + strings.Repeat("%F0%9F%98%80", 63) + "&algorithm=SHA1&digits=6&period=30"
	for text, modules := range map[string]int{
		"otpauth://totp/clientes:abc?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&issuer=clientes" +
			"&algorithm=SHA1&digits=6&period=30": 41,
		longest: 161,
	} {
		path, size, err := drawQR(text)
		authtest.Must(t, err)
		if size != modules+8 || !strings.HasPrefix(path, "M4 4h7v1h-7z") {
			t.Fatalf("a square of %d, and it begins with %.20s", size, path)
		}
		got := rasterize(t, path, size)
		want, err := qr.Encode(text, qr.L, qr.Unicode)
		authtest.Must(t, err)
		for y := range size {
			for x := range size {
				dark := (image.Point{X: x - 4, Y: y - 4}).In(want.Bounds()) &&
					want.At(x-4, y-4) == color.Black
				if dark != (got.GrayAt(x, y) == color.Gray{}) {
					t.Fatalf("the module at %d, %d is dark: %t", x, y, !dark)
				}
			}
		}
	}
}
