package config

import "strings"

// nearest returns the name that is closest to a misspelt one, by [distance]. It looks only at the
// beginning of a long one. A prefix as other programs have it (JWT_SECRET) counts as two letters.
func nearest(misspelt string, names []string) string {
	misspelt = misspelt[:min(len(misspelt), 64)]
	best, fewest := "", -1
	for _, name := range names {
		d := distance(strings.ToUpper(misspelt), strings.ToUpper(name))
		if strings.HasSuffix(strings.ToUpper(misspelt), "_"+name) {
			d = min(d, 2)
		}
		if fewest < 0 || d < fewest {
			best, fewest = name, d
		}
	}
	return best
}

// distance counts the letters to insert, delete, replace or swap with their neighbour to make b of
// a (the optimal string alignment distance).
func distance(a, b string) int {
	var before, last []int
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		before, last, row = last, row, make([]int, len(b)+1)
		row[0] = i + 1
		for j := range len(b) {
			replace := last[j]
			if a[i] != b[j] {
				replace++
			}
			row[j+1] = min(replace, last[j+1]+1, row[j]+1)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
	}
	return row[len(b)]
}
