# Every target runs unattended; `make help` lists them.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.ONESHELL:
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help
MAKEFLAGS += --no-builtin-rules --no-print-directory

# No target may ever act on the cluster that somebody's shell points to.
unexport KUBECONFIG

CARGO ?= cargo
# Nobody is there to type a password when CI is set.
SUDO := $(if $(filter-out 0,$(shell id -u)),sudo $(if $(CI),-n))
TOOLS := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/tenantry/tools

##@ Everyday

.PHONY: help
help: ## Print this list
	@awk -F ':.*## ' '/^##@/ { printf "\n%s\n", substr($$0, 5) }
	  /^[a-z-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' Makefile

.PHONY: build
build: target/release/tenantry target/bin/localcluster ## Build tenantry and the local cluster's programs

.PHONY: generate
generate: ## Write the generated files again: crds/ completions/ docs/reference/
	$(CARGO) run --locked --quiet -- generate

##@ Checks

.PHONY: test
test: ## Run every test; what needs pods or packages needs root
	@tests/run.sh

# TENANTRY_FAULTS names a scenario (create), one plan, as a red one is printed, what watches do not tell (unheard), or a campaign
# of random draws (quoting, deletions), which its seed behind the name repeats.
FAULT_PLANS := faults::wherever_the_world_stops_everything_ends_as_if_it_had_not
QUOTING := postgres::quote::no_name_no_text_and_no_setting_escapes_from_its_quotes
DELETIONS := faults::deletions::whatever_is_deleted_in_whatever_order_nothing_is_stuck_and_nothing_is_lost
UNHEARD := faults::stale::what_no_watch_tells_is_done_as_soon_as_it_is_heard_of
.PHONY: test-faults
test-faults: deps target/bin/localcluster ## Stop the world at every effect of the operator, and see that all ends well
	@export TENANTRY_FAULTS="$${TENANTRY_FAULTS:-all}"
	# Optimised: a plan starts the operator twice, and compares the whole state again and again.
	campaign() { $(CARGO) test --locked --quiet --profile bench --test it -- --exact --nocapture "$$@"; }
	case $$TENANTRY_FAULTS in
	  quoting*) campaign $(QUOTING) ;;
	  deletions*) campaign $(DELETIONS) ;;
	  unheard) campaign $(UNHEARD) ;;
	  all) campaign $(QUOTING) $(DELETIONS) $(UNHEARD); campaign $(FAULT_PLANS) ;;
	  *) campaign $(FAULT_PLANS) ;;
	esac

.PHONY: test-images
test-images: deps images ## Prove what images/README.md promises
	@$(SUDO) images/test.sh $(IMAGES)

.PHONY: lint
lint: lint-deps $(TOOLS)/typos/1.52.0/bin/typos $(TOOLS)/cargo-deny/0.20.2/bin/cargo-deny ## Format, clippy, vet, docs, dependencies, spelling, scripts
	$(CARGO) fmt --check
	$(CARGO) clippy --locked --all-targets -- -D warnings
	RUSTDOCFLAGS='-D warnings' $(CARGO) doc --locked --no-deps --document-private-items
	$(TOOLS)/cargo-deny/0.20.2/bin/cargo-deny --log-level warn check bans licenses sources
	$(TOOLS)/typos/1.52.0/bin/typos
	shellcheck -x $$(git ls-files '*.sh' .ci/run)
	test -z "$$(gofmt -l localcluster | tee /dev/stderr)"
	env -C localcluster CGO_ENABLED=0 GOFLAGS=-trimpath go vet ./...

# A wheel of typos exists, and saves a minute; one of a current cargo-deny does not. Its speed is no concern, so --debug.
$(TOOLS)/typos/%/bin/typos:
	python3 -m venv $(TOOLS)/typos/$*
	$(TOOLS)/typos/$*/bin/pip install --quiet --disable-pip-version-check typos==$*
$(TOOLS)/cargo-deny/%/bin/cargo-deny:
	$(CARGO) install --quiet --locked --debug --no-default-features --root $(TOOLS)/cargo-deny/$* cargo-deny@$*

##@ Benches

# The harness needs no optimisation: what it measures is target/release/tenantry, in a process of its own.
.PHONY: bench-operator
bench-operator: deps build ## The operator's writes and memory with 100 tenants, and `get` beside kubectl
	@$(CARGO) bench --locked --quiet --profile dev --bench operator

# The check that finds nothing to do runs in the harness itself, which is optimised for that. Cargo builds the operator
# beside it, with the features of tests: `make build` makes the program that is installed again.
.PHONY: bench-database
bench-database: deps target/bin/localcluster ## The check of 500 databases, new databases with and without a pool, and changes while one of three servers is down and one hangs
	@$(CARGO) bench --locked --quiet --bench database

##@ Demo

# Another name gives another cluster, beside the demo.
DEMO ?= demo
DEMO_CLUSTER = $(SUDO) target/bin/localcluster --name $(DEMO)
USERS = /api/v1/namespaces/tenant-$$tenant/services/user:80/proxy/api/users

.PHONY: demo
demo: images target/bin/localcluster ## A real Kubernetes, the operator, and two tenants with a database and a user service each
	@began=$$SECONDS
	$(DEMO_CLUSTER) up $(IMAGES:%=--image target/images/%.tar) </dev/null >/dev/null
	KUBECONFIG=$$($(demo_kubeconfig))
	export KUBECONFIG
	PATH=$(CURDIR)/target/release:$(CURDIR)/target/bin:$$PATH
	tenantry install --image localhost/tenantry/tenantry:dev
	# The tag stays when the binary changes: pods that still run an older one are replaced.
	manifest=$$(tar -xOf target/images/tenantry.tar ./index.json | grep -o 'sha256:[0-9a-f]*')
	id=$$(tar -xOf target/images/tenantry.tar "./blobs/sha256/$${manifest#sha256:}" | grep -o 'sha256:[0-9a-f]*' | sed -n 1p)
	kubectl get pods --all-namespaces -o jsonpath='{range .items[*]}{.metadata.namespace} {.metadata.name} {.spec.containers[0].image} {.status.containerStatuses[0].imageID}{"\n"}{end}' |
	  while read -r namespace pod image running; do
	    [ "$$image" != localhost/tenantry/tenantry:dev ] || [ "$$running" = "$$id" ] || kubectl delete pod -n "$$namespace" "$$pod" --wait=false
	  done
	kubectl apply -f manifests/samples/demo
	tenantry wait tenant acme globex --for=condition=Ready --timeout=3m || { tenantry status; kubectl get pods --all-namespaces; exit 1; }
	printf '\n'
	tenantry get tenants
	printf '\n'
	kubectl get pods --all-namespaces
	for tenant in acme globex; do
	  printf '\nThe users of %s: ' "$$tenant"
	  kubectl get --raw "$(USERS)"
	done
	printf '\n\nThe demo runs, after %d s. Try:\n' $$((SECONDS - began))
	sed 's/^  *//' <<'TRY'
	  export KUBECONFIG=$$(make -s kubeconfig) PATH=$$PWD/target/release:$$PWD/target/bin:$$PATH
	  tenantry status acme
	  kubectl get --raw /api/v1/namespaces/tenant-acme/services/user:80/proxy/api/users
	  kubectl port-forward --namespace tenant-acme service/user 8080:80 &
	  curl --header 'Content-Type: application/json' --data '{"email":"ada@acme.example","name":"Ada Lovelace"}' localhost:8080/api/users
	  tenantry create tenant initech --plan small --blueprint demo --wait
	  tenantry suspend acme; tenantry resume acme
	  make demo-down
	TRY

.PHONY: demo-down
demo-down: target/bin/localcluster ## Remove the demo and every trace of it
	@$(DEMO_CLUSTER) down </dev/null

.PHONY: kubeconfig
kubeconfig: target/bin/localcluster ## Print the path of the demo's kubeconfig
	@$(demo_kubeconfig)

# Only root may read a cluster's folder; who is not root gets a copy.
define demo_kubeconfig
path=$$($(DEMO_CLUSTER) kubeconfig)
$(if $(SUDO),(umask 077; $(SUDO) cat "$$path" >target/$(DEMO).kubeconfig); path=$(CURDIR)/target/$(DEMO).kubeconfig)
echo "$$path"
endef

##@ Parts

# gcc and libc6-dev: the pause program, and the C parts of Rust crates. openssl, procps and python3-venv: the tests.
PACKAGES := ca-certificates conntrack containerd containernetworking-plugins gcc iproute2 iptables libc6-dev mmdebstrap \
  openssl postgresql-15 postgresql-client-15 procps python3-venv runc socat

.PHONY: deps
deps: ## Install the Debian packages that building, testing and the demo need
	@$(call install,$(PACKAGES))

.PHONY: lint-deps
lint-deps:
	@$(call install,python3-venv shellcheck)

# Debian starts a server on port 5432 with the package, unless it is told not to beforehand.
define install
missing=()
for package in $(1); do
  [ "$$(dpkg-query -W -f='$${db:Status-Status}' "$$package" 2>/dev/null)" = installed ] || missing+=("$$package")
done
[ $${#missing[@]} -gt 0 ] || exit 0
echo "installing $${missing[*]}"
$(SUDO) mkdir -p /etc/postgresql-common/createcluster.d
echo 'create_main_cluster = false' | $(SUDO) tee /etc/postgresql-common/createcluster.d/tenantry.conf >/dev/null
log=$$(mktemp)
trap 'rm -f "$$log"' EXIT
{
  $(SUDO) apt-get --quiet update &&
  $(SUDO) env DEBIAN_FRONTEND=noninteractive apt-get --quiet -o Dpkg::Use-Pty=0 install --yes --no-install-recommends "$${missing[@]}"
} </dev/null >"$$log" 2>&1 || { cat "$$log" >&2; exit 1; }
endef

IMAGES := pause coredns tenantry archive postgres

.PHONY: images
images: deps target/release/tenantry target/bin/coredns ## Build the container images into target/images/
	@$(SUDO) images/build.sh $(IMAGES)

# Cargo knows what is out of date.
.PHONY: target/release/tenantry
target/release/tenantry:
	$(CARGO) build --locked --release

# Go knows too, but would link 140 MB again to find out.
target/bin/localcluster: $(shell find localcluster -type f -not -path 'localcluster/coredns/*' 2>/dev/null)
	localcluster/build.sh target/bin localcluster
	touch $@
target/bin/coredns: localcluster/build.sh $(shell find localcluster/coredns -type f 2>/dev/null)
	localcluster/build.sh target/bin coredns
	touch $@
