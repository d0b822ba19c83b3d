//go:build !unix

package postgrestest

import (
	"context"
	"fmt"
	"os/exec"
	"runtime"
)

// account has no meaning on systems other than Unix, where tests need TEST_DATABASE_URL.
type account struct{}

func serverAccount() (*account, error) {
	return nil, fmt.Errorf("%w (a private cluster is not supported on %s)",
		errNotInstalled, runtime.GOOS)
}

func (*account) command(ctx context.Context, name string, args ...string) *exec.Cmd {
	return exec.CommandContext(ctx, name, args...)
}
