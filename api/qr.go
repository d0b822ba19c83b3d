package api

import (
	"fmt"
	"image/color"

	"github.com/boombuler/barcode/qr"
)

// quietZone is the light margin of a QR code in modules (ISO/IEC 18004).
const quietZone = 4

// drawQR returns the QR code of a text as the data of an SVG path, and the width of the square that
// it is drawn in. A module has the width 1. The square includes the quiet zone.
//
// The code has the lowest error correction. A screen is not stained, and a code with fewer modules
// is easier to read. It also holds the longest text that an [auth.Enrolment] can have.
func drawQR(text string) (path string, size int, err error) {
	code, err := qr.Encode(text, qr.L, qr.Unicode)
	if err != nil {
		return "", 0, fmt.Errorf("draw a QR code: %w", err)
	}
	modules := code.Bounds().Dx()
	var b []byte
	for y := range modules {
		for x := 0; x < modules; x++ {
			first := x
			for x < modules && code.At(x, y) == color.Black {
				x++
			}
			if n := x - first; n > 0 {
				b = fmt.Appendf(b, "M%d %dh%dv1h-%dz", quietZone+first, quietZone+y, n, n)
			}
		}
	}
	return string(b), modules + 2*quietZone, nil
}
