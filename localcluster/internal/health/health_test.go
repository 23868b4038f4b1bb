package health

import (
	"context"
	"errors"
	"strings"
	"testing"
)

func TestOnlyFailingChecksAreQuoted(t *testing.T) {
	report := "[+]ping ok\n[-]etcd failed: reason withheld\n[+]log ok\n[-]poststarthook/x failed: not finished\nreadyz check failed\n"
	if got := failing(report); got != "[-]etcd failed: reason withheld, [-]poststarthook/x failed: not finished" {
		t.Errorf("quoted %q", got)
	}
	if got := failing("Unauthorized\n"); got != "Unauthorized" {
		t.Errorf("quoted %q", got)
	}
}

func TestWaitingEndsWithTheCauseAndTheLastAnswer(t *testing.T) {
	cause, answer := errors.New("etcd ended"), errors.New("not yet")
	ctx, cancel := context.WithCancelCause(t.Context())
	asked := 0
	err := Wait(ctx, func(context.Context) error {
		if asked++; asked == 2 {
			cancel(cause)
			return context.Canceled
		}
		return answer
	})
	if !errors.Is(err, cause) || !strings.Contains(err.Error(), answer.Error()) {
		t.Errorf("error = %v", err)
	}
}
