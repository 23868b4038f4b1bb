# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_tenantry_global_optspecs
    string join \n n/namespace= kubeconfig= context= cluster= user= s/server= token= as= as-group= as-uid= request-timeout= insecure-skip-tls-verify certificate-authority= tls-server-name= h/help V/version
end

function __fish_tenantry_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_tenantry_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_tenantry_using_subcommand
    set -l cmd (__fish_tenantry_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c tenantry -n "__fish_tenantry_needs_command" -s n -l namespace -d 'Namespace of the request' -r
complete -c tenantry -n "__fish_tenantry_needs_command" -l kubeconfig -d 'Path of the kubeconfig file; without it the files that KUBECONFIG lists, else ~/.kube/config' -r -F
complete -c tenantry -n "__fish_tenantry_needs_command" -l context -d 'Context of the kubeconfig to use' -r
complete -c tenantry -n "__fish_tenantry_needs_command" -l cluster -d 'Cluster of the kubeconfig to use' -r
complete -c tenantry -n "__fish_tenantry_needs_command" -l user -d 'User of the kubeconfig to use' -r
complete -c tenantry -n "__fish_tenantry_needs_command" -s s -l server -d 'Address and port of the API server' -r
complete -c tenantry -n "__fish_tenantry_needs_command" -l token -d 'Bearer token for the API server; other processes can see it: a kubeconfig is safer' -r
complete -c tenantry -n "__fish_tenantry_needs_command" -l as -d 'User to impersonate' -r
complete -c tenantry -n "__fish_tenantry_needs_command" -l as-group -d 'Group to impersonate; may be repeated' -r
complete -c tenantry -n "__fish_tenantry_needs_command" -l as-uid -d 'UID to impersonate' -r
complete -c tenantry -n "__fish_tenantry_needs_command" -l request-timeout -d 'How long to wait for one reply, as in 1s, 2m or 3h; 0 waits for ever' -r
complete -c tenantry -n "__fish_tenantry_needs_command" -l certificate-authority -d 'Path of the certificate authority that the API server\'s certificate is checked against' -r -F
complete -c tenantry -n "__fish_tenantry_needs_command" -l tls-server-name -d 'Name that the API server\'s certificate must carry, instead of the address' -r
complete -c tenantry -n "__fish_tenantry_needs_command" -l insecure-skip-tls-verify -d 'Do not check the API server\'s certificate; makes the connection insecure'
complete -c tenantry -n "__fish_tenantry_needs_command" -s h -l help -d 'Print help'
complete -c tenantry -n "__fish_tenantry_needs_command" -s V -l version -d 'Print version'
complete -c tenantry -n "__fish_tenantry_needs_command" -f -a "install" -d 'Install the CRDs, the operator and its policies, or bring them up to date'
complete -c tenantry -n "__fish_tenantry_needs_command" -f -a "version" -d 'Print the version of this program, of the operator and of the API server'
complete -c tenantry -n "__fish_tenantry_needs_command" -f -a "run" -d 'Run a role of the platform; this is what its pods do'
complete -c tenantry -n "__fish_tenantry_needs_command" -f -a "completion" -d 'Print a shell\'s completion script'
complete -c tenantry -n "__fish_tenantry_needs_command" -f -a "generate" -d 'Write the generated files: CRDs, completion scripts and the CLI reference'
complete -c tenantry -n "__fish_tenantry_using_subcommand install" -l image -d 'Image of the operator' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand install" -s n -l namespace -d 'Namespace of the request' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand install" -l kubeconfig -d 'Path of the kubeconfig file; without it the files that KUBECONFIG lists, else ~/.kube/config' -r -F
complete -c tenantry -n "__fish_tenantry_using_subcommand install" -l context -d 'Context of the kubeconfig to use' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand install" -l cluster -d 'Cluster of the kubeconfig to use' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand install" -l user -d 'User of the kubeconfig to use' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand install" -s s -l server -d 'Address and port of the API server' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand install" -l token -d 'Bearer token for the API server; other processes can see it: a kubeconfig is safer' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand install" -l as -d 'User to impersonate' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand install" -l as-group -d 'Group to impersonate; may be repeated' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand install" -l as-uid -d 'UID to impersonate' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand install" -l request-timeout -d 'How long to wait for one reply, as in 1s, 2m or 3h; 0 waits for ever' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand install" -l certificate-authority -d 'Path of the certificate authority that the API server\'s certificate is checked against' -r -F
complete -c tenantry -n "__fish_tenantry_using_subcommand install" -l tls-server-name -d 'Name that the API server\'s certificate must carry, instead of the address' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand install" -l print -d 'Print everything as YAML, for GitOps; no request is made'
complete -c tenantry -n "__fish_tenantry_using_subcommand install" -l insecure-skip-tls-verify -d 'Do not check the API server\'s certificate; makes the connection insecure'
complete -c tenantry -n "__fish_tenantry_using_subcommand install" -s h -l help -d 'Print help'
complete -c tenantry -n "__fish_tenantry_using_subcommand version" -s n -l namespace -d 'Namespace of the request' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand version" -l kubeconfig -d 'Path of the kubeconfig file; without it the files that KUBECONFIG lists, else ~/.kube/config' -r -F
complete -c tenantry -n "__fish_tenantry_using_subcommand version" -l context -d 'Context of the kubeconfig to use' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand version" -l cluster -d 'Cluster of the kubeconfig to use' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand version" -l user -d 'User of the kubeconfig to use' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand version" -s s -l server -d 'Address and port of the API server' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand version" -l token -d 'Bearer token for the API server; other processes can see it: a kubeconfig is safer' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand version" -l as -d 'User to impersonate' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand version" -l as-group -d 'Group to impersonate; may be repeated' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand version" -l as-uid -d 'UID to impersonate' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand version" -l request-timeout -d 'How long to wait for one reply, as in 1s, 2m or 3h; 0 waits for ever' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand version" -l certificate-authority -d 'Path of the certificate authority that the API server\'s certificate is checked against' -r -F
complete -c tenantry -n "__fish_tenantry_using_subcommand version" -l tls-server-name -d 'Name that the API server\'s certificate must carry, instead of the address' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand version" -l client -d 'Only the version of this program; no request is made'
complete -c tenantry -n "__fish_tenantry_using_subcommand version" -l insecure-skip-tls-verify -d 'Do not check the API server\'s certificate; makes the connection insecure'
complete -c tenantry -n "__fish_tenantry_using_subcommand version" -s h -l help -d 'Print help'
complete -c tenantry -n "__fish_tenantry_using_subcommand run; and not __fish_seen_subcommand_from operator" -s n -l namespace -d 'Namespace of the request' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand run; and not __fish_seen_subcommand_from operator" -l kubeconfig -d 'Path of the kubeconfig file; without it the files that KUBECONFIG lists, else ~/.kube/config' -r -F
complete -c tenantry -n "__fish_tenantry_using_subcommand run; and not __fish_seen_subcommand_from operator" -l context -d 'Context of the kubeconfig to use' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand run; and not __fish_seen_subcommand_from operator" -l cluster -d 'Cluster of the kubeconfig to use' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand run; and not __fish_seen_subcommand_from operator" -l user -d 'User of the kubeconfig to use' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand run; and not __fish_seen_subcommand_from operator" -s s -l server -d 'Address and port of the API server' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand run; and not __fish_seen_subcommand_from operator" -l token -d 'Bearer token for the API server; other processes can see it: a kubeconfig is safer' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand run; and not __fish_seen_subcommand_from operator" -l as -d 'User to impersonate' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand run; and not __fish_seen_subcommand_from operator" -l as-group -d 'Group to impersonate; may be repeated' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand run; and not __fish_seen_subcommand_from operator" -l as-uid -d 'UID to impersonate' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand run; and not __fish_seen_subcommand_from operator" -l request-timeout -d 'How long to wait for one reply, as in 1s, 2m or 3h; 0 waits for ever' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand run; and not __fish_seen_subcommand_from operator" -l certificate-authority -d 'Path of the certificate authority that the API server\'s certificate is checked against' -r -F
complete -c tenantry -n "__fish_tenantry_using_subcommand run; and not __fish_seen_subcommand_from operator" -l tls-server-name -d 'Name that the API server\'s certificate must carry, instead of the address' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand run; and not __fish_seen_subcommand_from operator" -l insecure-skip-tls-verify -d 'Do not check the API server\'s certificate; makes the connection insecure'
complete -c tenantry -n "__fish_tenantry_using_subcommand run; and not __fish_seen_subcommand_from operator" -s h -l help -d 'Print help'
complete -c tenantry -n "__fish_tenantry_using_subcommand run; and not __fish_seen_subcommand_from operator" -f -a "operator" -d 'The operator: turns tenants, plans, blueprints, servers, databases and microservices into what they ask for'
complete -c tenantry -n "__fish_tenantry_using_subcommand run; and __fish_seen_subcommand_from operator" -l identity -d 'Name of this process among the candidates for leadership' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand run; and __fish_seen_subcommand_from operator" -l lease-namespace -d 'Namespace of the Lease' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand run; and __fish_seen_subcommand_from operator" -l image -d 'Image that builtin microservices run: the operator\'s own' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand run; and __fish_seen_subcommand_from operator" -l postgres-image -d 'Image of managed PostgreSQL 15 servers' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand run; and __fish_seen_subcommand_from operator" -l concurrency -d 'Objects of one kind that are reconciled at a time' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand run; and __fish_seen_subcommand_from operator" -l lease-seconds -d 'Seconds after which a silent leader is replaced' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand run; and __fish_seen_subcommand_from operator" -l admin-address -d 'Address of the admin port: /healthz, /readyz and /metrics' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand run; and __fish_seen_subcommand_from operator" -l log -d 'Which events are logged, for example info or tenantry=debug' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand run; and __fish_seen_subcommand_from operator" -s n -l namespace -d 'Namespace of the request' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand run; and __fish_seen_subcommand_from operator" -l kubeconfig -d 'Path of the kubeconfig file; without it the files that KUBECONFIG lists, else ~/.kube/config' -r -F
complete -c tenantry -n "__fish_tenantry_using_subcommand run; and __fish_seen_subcommand_from operator" -l context -d 'Context of the kubeconfig to use' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand run; and __fish_seen_subcommand_from operator" -l cluster -d 'Cluster of the kubeconfig to use' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand run; and __fish_seen_subcommand_from operator" -l user -d 'User of the kubeconfig to use' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand run; and __fish_seen_subcommand_from operator" -s s -l server -d 'Address and port of the API server' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand run; and __fish_seen_subcommand_from operator" -l token -d 'Bearer token for the API server; other processes can see it: a kubeconfig is safer' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand run; and __fish_seen_subcommand_from operator" -l as -d 'User to impersonate' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand run; and __fish_seen_subcommand_from operator" -l as-group -d 'Group to impersonate; may be repeated' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand run; and __fish_seen_subcommand_from operator" -l as-uid -d 'UID to impersonate' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand run; and __fish_seen_subcommand_from operator" -l request-timeout -d 'How long to wait for one reply, as in 1s, 2m or 3h; 0 waits for ever' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand run; and __fish_seen_subcommand_from operator" -l certificate-authority -d 'Path of the certificate authority that the API server\'s certificate is checked against' -r -F
complete -c tenantry -n "__fish_tenantry_using_subcommand run; and __fish_seen_subcommand_from operator" -l tls-server-name -d 'Name that the API server\'s certificate must carry, instead of the address' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand run; and __fish_seen_subcommand_from operator" -l insecure-skip-tls-verify -d 'Do not check the API server\'s certificate; makes the connection insecure'
complete -c tenantry -n "__fish_tenantry_using_subcommand run; and __fish_seen_subcommand_from operator" -s h -l help -d 'Print help'
complete -c tenantry -n "__fish_tenantry_using_subcommand completion" -s n -l namespace -d 'Namespace of the request' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand completion" -l kubeconfig -d 'Path of the kubeconfig file; without it the files that KUBECONFIG lists, else ~/.kube/config' -r -F
complete -c tenantry -n "__fish_tenantry_using_subcommand completion" -l context -d 'Context of the kubeconfig to use' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand completion" -l cluster -d 'Cluster of the kubeconfig to use' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand completion" -l user -d 'User of the kubeconfig to use' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand completion" -s s -l server -d 'Address and port of the API server' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand completion" -l token -d 'Bearer token for the API server; other processes can see it: a kubeconfig is safer' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand completion" -l as -d 'User to impersonate' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand completion" -l as-group -d 'Group to impersonate; may be repeated' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand completion" -l as-uid -d 'UID to impersonate' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand completion" -l request-timeout -d 'How long to wait for one reply, as in 1s, 2m or 3h; 0 waits for ever' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand completion" -l certificate-authority -d 'Path of the certificate authority that the API server\'s certificate is checked against' -r -F
complete -c tenantry -n "__fish_tenantry_using_subcommand completion" -l tls-server-name -d 'Name that the API server\'s certificate must carry, instead of the address' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand completion" -l insecure-skip-tls-verify -d 'Do not check the API server\'s certificate; makes the connection insecure'
complete -c tenantry -n "__fish_tenantry_using_subcommand completion" -s h -l help -d 'Print help'
complete -c tenantry -n "__fish_tenantry_using_subcommand generate" -l out -d 'Directory that gets crds/, completions/ and docs/reference/' -r -F
complete -c tenantry -n "__fish_tenantry_using_subcommand generate" -s n -l namespace -d 'Namespace of the request' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand generate" -l kubeconfig -d 'Path of the kubeconfig file; without it the files that KUBECONFIG lists, else ~/.kube/config' -r -F
complete -c tenantry -n "__fish_tenantry_using_subcommand generate" -l context -d 'Context of the kubeconfig to use' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand generate" -l cluster -d 'Cluster of the kubeconfig to use' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand generate" -l user -d 'User of the kubeconfig to use' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand generate" -s s -l server -d 'Address and port of the API server' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand generate" -l token -d 'Bearer token for the API server; other processes can see it: a kubeconfig is safer' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand generate" -l as -d 'User to impersonate' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand generate" -l as-group -d 'Group to impersonate; may be repeated' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand generate" -l as-uid -d 'UID to impersonate' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand generate" -l request-timeout -d 'How long to wait for one reply, as in 1s, 2m or 3h; 0 waits for ever' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand generate" -l certificate-authority -d 'Path of the certificate authority that the API server\'s certificate is checked against' -r -F
complete -c tenantry -n "__fish_tenantry_using_subcommand generate" -l tls-server-name -d 'Name that the API server\'s certificate must carry, instead of the address' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand generate" -l check -d 'Write nothing; fail if a file is not what it would be'
complete -c tenantry -n "__fish_tenantry_using_subcommand generate" -l insecure-skip-tls-verify -d 'Do not check the API server\'s certificate; makes the connection insecure'
complete -c tenantry -n "__fish_tenantry_using_subcommand generate" -s h -l help -d 'Print help'
