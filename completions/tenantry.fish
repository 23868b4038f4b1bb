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
complete -c tenantry -n "__fish_tenantry_needs_command" -f -a "uninstall" -d 'Remove the operator, its rights and its policies; objects and databases stay'
complete -c tenantry -n "__fish_tenantry_needs_command" -f -a "check" -d 'Check the installation'
complete -c tenantry -n "__fish_tenantry_needs_command" -f -a "create" -d 'Create a tenant'
complete -c tenantry -n "__fish_tenantry_needs_command" -f -a "get" -d 'Print objects'
complete -c tenantry -n "__fish_tenantry_needs_command" -f -a "status" -d 'Show how a tenant does, or all tenants'
complete -c tenantry -n "__fish_tenantry_needs_command" -f -a "plan" -d 'Show what the operator would do: the Kubernetes changes and the SQL'
complete -c tenantry -n "__fish_tenantry_needs_command" -f -a "wait" -d 'Wait until a condition holds or an object is gone'
complete -c tenantry -n "__fish_tenantry_needs_command" -f -a "suspend" -d 'Suspend a tenant: workloads at zero, logins refused, data kept'
complete -c tenantry -n "__fish_tenantry_needs_command" -f -a "resume" -d 'Resume a suspended tenant'
complete -c tenantry -n "__fish_tenantry_needs_command" -f -a "reconcile" -d 'Compare databases with what is declared, now, and print what differs'
complete -c tenantry -n "__fish_tenantry_needs_command" -f -a "delete" -d 'Delete objects; databases are kept'
complete -c tenantry -n "__fish_tenantry_needs_command" -f -a "undelete" -d 'Give released or purged databases back to the claims of their names'
complete -c tenantry -n "__fish_tenantry_needs_command" -f -a "purge" -d 'Ask for the end of a released database: it is renamed out of the way and kept'
complete -c tenantry -n "__fish_tenantry_needs_command" -f -a "version" -d 'Print the version of this program, of the operator and of the API server'
complete -c tenantry -n "__fish_tenantry_needs_command" -f -a "run" -d 'Run a role of the platform; this is what its pods do'
complete -c tenantry -n "__fish_tenantry_needs_command" -f -a "completion" -d 'Print a shell\'s completion script'
complete -c tenantry -n "__fish_tenantry_needs_command" -f -a "generate" -d 'Write the generated files: CRDs, completion scripts and the CLI reference'
complete -c tenantry -n "__fish_tenantry_using_subcommand install" -l image -d 'Image of the operator' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand install" -l postgres-image -d 'Image of managed PostgreSQL 15 servers' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand install" -l archive-image -d 'Image of the pods that make archives' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand install" -l timeout -d 'Longest wait' -r
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
complete -c tenantry -n "__fish_tenantry_using_subcommand install" -l force-conflicts -d 'Take over fields that another field manager owns'
complete -c tenantry -n "__fish_tenantry_using_subcommand install" -l no-wait -d 'Do not wait until the CRDs are served and the operator runs'
complete -c tenantry -n "__fish_tenantry_using_subcommand install" -l insecure-skip-tls-verify -d 'Do not check the API server\'s certificate; makes the connection insecure'
complete -c tenantry -n "__fish_tenantry_using_subcommand install" -s h -l help -d 'Print help'
complete -c tenantry -n "__fish_tenantry_using_subcommand uninstall" -l timeout -d 'Longest wait until the operator has stopped' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand uninstall" -s n -l namespace -d 'Namespace of the request' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand uninstall" -l kubeconfig -d 'Path of the kubeconfig file; without it the files that KUBECONFIG lists, else ~/.kube/config' -r -F
complete -c tenantry -n "__fish_tenantry_using_subcommand uninstall" -l context -d 'Context of the kubeconfig to use' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand uninstall" -l cluster -d 'Cluster of the kubeconfig to use' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand uninstall" -l user -d 'User of the kubeconfig to use' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand uninstall" -s s -l server -d 'Address and port of the API server' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand uninstall" -l token -d 'Bearer token for the API server; other processes can see it: a kubeconfig is safer' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand uninstall" -l as -d 'User to impersonate' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand uninstall" -l as-group -d 'Group to impersonate; may be repeated' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand uninstall" -l as-uid -d 'UID to impersonate' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand uninstall" -l request-timeout -d 'How long to wait for one reply, as in 1s, 2m or 3h; 0 waits for ever' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand uninstall" -l certificate-authority -d 'Path of the certificate authority that the API server\'s certificate is checked against' -r -F
complete -c tenantry -n "__fish_tenantry_using_subcommand uninstall" -l tls-server-name -d 'Name that the API server\'s certificate must carry, instead of the address' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand uninstall" -s y -l yes -d 'Do not ask'
complete -c tenantry -n "__fish_tenantry_using_subcommand uninstall" -l insecure-skip-tls-verify -d 'Do not check the API server\'s certificate; makes the connection insecure'
complete -c tenantry -n "__fish_tenantry_using_subcommand uninstall" -s h -l help -d 'Print help'
complete -c tenantry -n "__fish_tenantry_using_subcommand check" -s o -l output -d 'Output format' -r -f -a "text\t'Text for people'
json\t'JSON for programs'"
complete -c tenantry -n "__fish_tenantry_using_subcommand check" -s n -l namespace -d 'Namespace of the request' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand check" -l kubeconfig -d 'Path of the kubeconfig file; without it the files that KUBECONFIG lists, else ~/.kube/config' -r -F
complete -c tenantry -n "__fish_tenantry_using_subcommand check" -l context -d 'Context of the kubeconfig to use' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand check" -l cluster -d 'Cluster of the kubeconfig to use' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand check" -l user -d 'User of the kubeconfig to use' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand check" -s s -l server -d 'Address and port of the API server' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand check" -l token -d 'Bearer token for the API server; other processes can see it: a kubeconfig is safer' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand check" -l as -d 'User to impersonate' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand check" -l as-group -d 'Group to impersonate; may be repeated' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand check" -l as-uid -d 'UID to impersonate' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand check" -l request-timeout -d 'How long to wait for one reply, as in 1s, 2m or 3h; 0 waits for ever' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand check" -l certificate-authority -d 'Path of the certificate authority that the API server\'s certificate is checked against' -r -F
complete -c tenantry -n "__fish_tenantry_using_subcommand check" -l tls-server-name -d 'Name that the API server\'s certificate must carry, instead of the address' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand check" -l insecure-skip-tls-verify -d 'Do not check the API server\'s certificate; makes the connection insecure'
complete -c tenantry -n "__fish_tenantry_using_subcommand check" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c tenantry -n "__fish_tenantry_using_subcommand create; and not __fish_seen_subcommand_from tenant" -s n -l namespace -d 'Namespace of the request' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand create; and not __fish_seen_subcommand_from tenant" -l kubeconfig -d 'Path of the kubeconfig file; without it the files that KUBECONFIG lists, else ~/.kube/config' -r -F
complete -c tenantry -n "__fish_tenantry_using_subcommand create; and not __fish_seen_subcommand_from tenant" -l context -d 'Context of the kubeconfig to use' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand create; and not __fish_seen_subcommand_from tenant" -l cluster -d 'Cluster of the kubeconfig to use' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand create; and not __fish_seen_subcommand_from tenant" -l user -d 'User of the kubeconfig to use' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand create; and not __fish_seen_subcommand_from tenant" -s s -l server -d 'Address and port of the API server' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand create; and not __fish_seen_subcommand_from tenant" -l token -d 'Bearer token for the API server; other processes can see it: a kubeconfig is safer' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand create; and not __fish_seen_subcommand_from tenant" -l as -d 'User to impersonate' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand create; and not __fish_seen_subcommand_from tenant" -l as-group -d 'Group to impersonate; may be repeated' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand create; and not __fish_seen_subcommand_from tenant" -l as-uid -d 'UID to impersonate' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand create; and not __fish_seen_subcommand_from tenant" -l request-timeout -d 'How long to wait for one reply, as in 1s, 2m or 3h; 0 waits for ever' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand create; and not __fish_seen_subcommand_from tenant" -l certificate-authority -d 'Path of the certificate authority that the API server\'s certificate is checked against' -r -F
complete -c tenantry -n "__fish_tenantry_using_subcommand create; and not __fish_seen_subcommand_from tenant" -l tls-server-name -d 'Name that the API server\'s certificate must carry, instead of the address' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand create; and not __fish_seen_subcommand_from tenant" -l insecure-skip-tls-verify -d 'Do not check the API server\'s certificate; makes the connection insecure'
complete -c tenantry -n "__fish_tenantry_using_subcommand create; and not __fish_seen_subcommand_from tenant" -s h -l help -d 'Print help'
complete -c tenantry -n "__fish_tenantry_using_subcommand create; and not __fish_seen_subcommand_from tenant" -f -a "tenant" -d 'Create a tenant: its namespace, databases and services follow from its plan and its blueprints'
complete -c tenantry -n "__fish_tenantry_using_subcommand create; and __fish_seen_subcommand_from tenant" -l plan -d 'Plan that sets its limits' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand create; and __fish_seen_subcommand_from tenant" -l blueprint -d 'Blueprint that says what it gets; may be repeated' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand create; and __fish_seen_subcommand_from tenant" -l display-name -d 'Name for people' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand create; and __fish_seen_subcommand_from tenant" -l owner -d 'Who may work in its namespace: user:NAME, group:NAME or serviceaccount:NAMESPACE:NAME; may be repeated' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand create; and __fish_seen_subcommand_from tenant" -l dry-run -d 'Whether the tenant is really made' -r -f -a "none\t'Write'
client\t'Print the object that would be sent; no request is made'
server\t'Send it; the server checks it and keeps nothing'"
complete -c tenantry -n "__fish_tenantry_using_subcommand create; and __fish_seen_subcommand_from tenant" -l timeout -d 'Longest wait' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand create; and __fish_seen_subcommand_from tenant" -s n -l namespace -d 'Namespace of the request' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand create; and __fish_seen_subcommand_from tenant" -l kubeconfig -d 'Path of the kubeconfig file; without it the files that KUBECONFIG lists, else ~/.kube/config' -r -F
complete -c tenantry -n "__fish_tenantry_using_subcommand create; and __fish_seen_subcommand_from tenant" -l context -d 'Context of the kubeconfig to use' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand create; and __fish_seen_subcommand_from tenant" -l cluster -d 'Cluster of the kubeconfig to use' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand create; and __fish_seen_subcommand_from tenant" -l user -d 'User of the kubeconfig to use' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand create; and __fish_seen_subcommand_from tenant" -s s -l server -d 'Address and port of the API server' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand create; and __fish_seen_subcommand_from tenant" -l token -d 'Bearer token for the API server; other processes can see it: a kubeconfig is safer' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand create; and __fish_seen_subcommand_from tenant" -l as -d 'User to impersonate' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand create; and __fish_seen_subcommand_from tenant" -l as-group -d 'Group to impersonate; may be repeated' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand create; and __fish_seen_subcommand_from tenant" -l as-uid -d 'UID to impersonate' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand create; and __fish_seen_subcommand_from tenant" -l request-timeout -d 'How long to wait for one reply, as in 1s, 2m or 3h; 0 waits for ever' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand create; and __fish_seen_subcommand_from tenant" -l certificate-authority -d 'Path of the certificate authority that the API server\'s certificate is checked against' -r -F
complete -c tenantry -n "__fish_tenantry_using_subcommand create; and __fish_seen_subcommand_from tenant" -l tls-server-name -d 'Name that the API server\'s certificate must carry, instead of the address' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand create; and __fish_seen_subcommand_from tenant" -l wait -d 'Wait until it is Ready'
complete -c tenantry -n "__fish_tenantry_using_subcommand create; and __fish_seen_subcommand_from tenant" -l insecure-skip-tls-verify -d 'Do not check the API server\'s certificate; makes the connection insecure'
complete -c tenantry -n "__fish_tenantry_using_subcommand create; and __fish_seen_subcommand_from tenant" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c tenantry -n "__fish_tenantry_using_subcommand get" -s l -l selector -d 'Only objects whose labels match' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand get" -l field-selector -d 'Only objects whose fields match' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand get" -s o -l output -d 'Output format' -r -f -a "wide\t'All columns'
json\t'Objects as JSON'
yaml\t'Objects as YAML'
name\t'TYPE/NAME'"
complete -c tenantry -n "__fish_tenantry_using_subcommand get" -s n -l namespace -d 'Namespace of the request' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand get" -l kubeconfig -d 'Path of the kubeconfig file; without it the files that KUBECONFIG lists, else ~/.kube/config' -r -F
complete -c tenantry -n "__fish_tenantry_using_subcommand get" -l context -d 'Context of the kubeconfig to use' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand get" -l cluster -d 'Cluster of the kubeconfig to use' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand get" -l user -d 'User of the kubeconfig to use' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand get" -s s -l server -d 'Address and port of the API server' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand get" -l token -d 'Bearer token for the API server; other processes can see it: a kubeconfig is safer' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand get" -l as -d 'User to impersonate' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand get" -l as-group -d 'Group to impersonate; may be repeated' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand get" -l as-uid -d 'UID to impersonate' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand get" -l request-timeout -d 'How long to wait for one reply, as in 1s, 2m or 3h; 0 waits for ever' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand get" -l certificate-authority -d 'Path of the certificate authority that the API server\'s certificate is checked against' -r -F
complete -c tenantry -n "__fish_tenantry_using_subcommand get" -l tls-server-name -d 'Name that the API server\'s certificate must carry, instead of the address' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand get" -s A -l all-namespaces -d 'Objects of all namespaces'
complete -c tenantry -n "__fish_tenantry_using_subcommand get" -l no-headers -d 'No line of titles'
complete -c tenantry -n "__fish_tenantry_using_subcommand get" -l show-labels -d 'Labels as the last column'
complete -c tenantry -n "__fish_tenantry_using_subcommand get" -l show-kind -d 'Names with their kind'
complete -c tenantry -n "__fish_tenantry_using_subcommand get" -l show-managed-fields -d 'Keep managedFields in JSON and YAML'
complete -c tenantry -n "__fish_tenantry_using_subcommand get" -l ignore-not-found -d 'An object that does not exist is no failure'
complete -c tenantry -n "__fish_tenantry_using_subcommand get" -s w -l watch -d 'After the list, print every change until interrupted'
complete -c tenantry -n "__fish_tenantry_using_subcommand get" -l insecure-skip-tls-verify -d 'Do not check the API server\'s certificate; makes the connection insecure'
complete -c tenantry -n "__fish_tenantry_using_subcommand get" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c tenantry -n "__fish_tenantry_using_subcommand status" -s o -l output -d 'Output format' -r -f -a "text\t'Text for people'
json\t'JSON for programs'"
complete -c tenantry -n "__fish_tenantry_using_subcommand status" -s n -l namespace -d 'Namespace of the request' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand status" -l kubeconfig -d 'Path of the kubeconfig file; without it the files that KUBECONFIG lists, else ~/.kube/config' -r -F
complete -c tenantry -n "__fish_tenantry_using_subcommand status" -l context -d 'Context of the kubeconfig to use' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand status" -l cluster -d 'Cluster of the kubeconfig to use' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand status" -l user -d 'User of the kubeconfig to use' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand status" -s s -l server -d 'Address and port of the API server' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand status" -l token -d 'Bearer token for the API server; other processes can see it: a kubeconfig is safer' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand status" -l as -d 'User to impersonate' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand status" -l as-group -d 'Group to impersonate; may be repeated' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand status" -l as-uid -d 'UID to impersonate' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand status" -l request-timeout -d 'How long to wait for one reply, as in 1s, 2m or 3h; 0 waits for ever' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand status" -l certificate-authority -d 'Path of the certificate authority that the API server\'s certificate is checked against' -r -F
complete -c tenantry -n "__fish_tenantry_using_subcommand status" -l tls-server-name -d 'Name that the API server\'s certificate must carry, instead of the address' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand status" -l insecure-skip-tls-verify -d 'Do not check the API server\'s certificate; makes the connection insecure'
complete -c tenantry -n "__fish_tenantry_using_subcommand status" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c tenantry -n "__fish_tenantry_using_subcommand plan" -s f -l filename -d 'File or directory of objects as they would be, or - for standard input; may be repeated' -r -F
complete -c tenantry -n "__fish_tenantry_using_subcommand plan" -s o -l output -d 'Output format' -r -f -a "text\t'Text for people'
json\t'JSON for programs'"
complete -c tenantry -n "__fish_tenantry_using_subcommand plan" -s n -l namespace -d 'Namespace of the request' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand plan" -l kubeconfig -d 'Path of the kubeconfig file; without it the files that KUBECONFIG lists, else ~/.kube/config' -r -F
complete -c tenantry -n "__fish_tenantry_using_subcommand plan" -l context -d 'Context of the kubeconfig to use' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand plan" -l cluster -d 'Cluster of the kubeconfig to use' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand plan" -l user -d 'User of the kubeconfig to use' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand plan" -s s -l server -d 'Address and port of the API server' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand plan" -l token -d 'Bearer token for the API server; other processes can see it: a kubeconfig is safer' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand plan" -l as -d 'User to impersonate' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand plan" -l as-group -d 'Group to impersonate; may be repeated' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand plan" -l as-uid -d 'UID to impersonate' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand plan" -l request-timeout -d 'How long to wait for one reply, as in 1s, 2m or 3h; 0 waits for ever' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand plan" -l certificate-authority -d 'Path of the certificate authority that the API server\'s certificate is checked against' -r -F
complete -c tenantry -n "__fish_tenantry_using_subcommand plan" -l tls-server-name -d 'Name that the API server\'s certificate must carry, instead of the address' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand plan" -l detailed-exitcode -d 'Exit with 0 if nothing would change, 2 if something would, and 1 if the plan cannot be made'
complete -c tenantry -n "__fish_tenantry_using_subcommand plan" -l insecure-skip-tls-verify -d 'Do not check the API server\'s certificate; makes the connection insecure'
complete -c tenantry -n "__fish_tenantry_using_subcommand plan" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c tenantry -n "__fish_tenantry_using_subcommand wait" -l for -d 'condition=NAME[=VALUE] or delete' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand wait" -l timeout -d 'Longest wait' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand wait" -s n -l namespace -d 'Namespace of the request' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand wait" -l kubeconfig -d 'Path of the kubeconfig file; without it the files that KUBECONFIG lists, else ~/.kube/config' -r -F
complete -c tenantry -n "__fish_tenantry_using_subcommand wait" -l context -d 'Context of the kubeconfig to use' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand wait" -l cluster -d 'Cluster of the kubeconfig to use' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand wait" -l user -d 'User of the kubeconfig to use' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand wait" -s s -l server -d 'Address and port of the API server' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand wait" -l token -d 'Bearer token for the API server; other processes can see it: a kubeconfig is safer' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand wait" -l as -d 'User to impersonate' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand wait" -l as-group -d 'Group to impersonate; may be repeated' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand wait" -l as-uid -d 'UID to impersonate' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand wait" -l request-timeout -d 'How long to wait for one reply, as in 1s, 2m or 3h; 0 waits for ever' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand wait" -l certificate-authority -d 'Path of the certificate authority that the API server\'s certificate is checked against' -r -F
complete -c tenantry -n "__fish_tenantry_using_subcommand wait" -l tls-server-name -d 'Name that the API server\'s certificate must carry, instead of the address' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand wait" -l insecure-skip-tls-verify -d 'Do not check the API server\'s certificate; makes the connection insecure'
complete -c tenantry -n "__fish_tenantry_using_subcommand wait" -s h -l help -d 'Print help'
complete -c tenantry -n "__fish_tenantry_using_subcommand suspend" -l timeout -d 'Longest wait' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand suspend" -s n -l namespace -d 'Namespace of the request' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand suspend" -l kubeconfig -d 'Path of the kubeconfig file; without it the files that KUBECONFIG lists, else ~/.kube/config' -r -F
complete -c tenantry -n "__fish_tenantry_using_subcommand suspend" -l context -d 'Context of the kubeconfig to use' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand suspend" -l cluster -d 'Cluster of the kubeconfig to use' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand suspend" -l user -d 'User of the kubeconfig to use' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand suspend" -s s -l server -d 'Address and port of the API server' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand suspend" -l token -d 'Bearer token for the API server; other processes can see it: a kubeconfig is safer' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand suspend" -l as -d 'User to impersonate' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand suspend" -l as-group -d 'Group to impersonate; may be repeated' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand suspend" -l as-uid -d 'UID to impersonate' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand suspend" -l request-timeout -d 'How long to wait for one reply, as in 1s, 2m or 3h; 0 waits for ever' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand suspend" -l certificate-authority -d 'Path of the certificate authority that the API server\'s certificate is checked against' -r -F
complete -c tenantry -n "__fish_tenantry_using_subcommand suspend" -l tls-server-name -d 'Name that the API server\'s certificate must carry, instead of the address' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand suspend" -l wait -d 'Wait until it is done'
complete -c tenantry -n "__fish_tenantry_using_subcommand suspend" -l insecure-skip-tls-verify -d 'Do not check the API server\'s certificate; makes the connection insecure'
complete -c tenantry -n "__fish_tenantry_using_subcommand suspend" -s h -l help -d 'Print help'
complete -c tenantry -n "__fish_tenantry_using_subcommand resume" -l timeout -d 'Longest wait' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand resume" -s n -l namespace -d 'Namespace of the request' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand resume" -l kubeconfig -d 'Path of the kubeconfig file; without it the files that KUBECONFIG lists, else ~/.kube/config' -r -F
complete -c tenantry -n "__fish_tenantry_using_subcommand resume" -l context -d 'Context of the kubeconfig to use' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand resume" -l cluster -d 'Cluster of the kubeconfig to use' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand resume" -l user -d 'User of the kubeconfig to use' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand resume" -s s -l server -d 'Address and port of the API server' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand resume" -l token -d 'Bearer token for the API server; other processes can see it: a kubeconfig is safer' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand resume" -l as -d 'User to impersonate' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand resume" -l as-group -d 'Group to impersonate; may be repeated' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand resume" -l as-uid -d 'UID to impersonate' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand resume" -l request-timeout -d 'How long to wait for one reply, as in 1s, 2m or 3h; 0 waits for ever' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand resume" -l certificate-authority -d 'Path of the certificate authority that the API server\'s certificate is checked against' -r -F
complete -c tenantry -n "__fish_tenantry_using_subcommand resume" -l tls-server-name -d 'Name that the API server\'s certificate must carry, instead of the address' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand resume" -l wait -d 'Wait until it is done'
complete -c tenantry -n "__fish_tenantry_using_subcommand resume" -l insecure-skip-tls-verify -d 'Do not check the API server\'s certificate; makes the connection insecure'
complete -c tenantry -n "__fish_tenantry_using_subcommand resume" -s h -l help -d 'Print help'
complete -c tenantry -n "__fish_tenantry_using_subcommand reconcile" -l timeout -d 'Longest wait for the operator' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand reconcile" -s o -l output -d 'Output format' -r -f -a "text\t'Text for people'
json\t'JSON for programs'"
complete -c tenantry -n "__fish_tenantry_using_subcommand reconcile" -s n -l namespace -d 'Namespace of the request' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand reconcile" -l kubeconfig -d 'Path of the kubeconfig file; without it the files that KUBECONFIG lists, else ~/.kube/config' -r -F
complete -c tenantry -n "__fish_tenantry_using_subcommand reconcile" -l context -d 'Context of the kubeconfig to use' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand reconcile" -l cluster -d 'Cluster of the kubeconfig to use' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand reconcile" -l user -d 'User of the kubeconfig to use' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand reconcile" -s s -l server -d 'Address and port of the API server' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand reconcile" -l token -d 'Bearer token for the API server; other processes can see it: a kubeconfig is safer' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand reconcile" -l as -d 'User to impersonate' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand reconcile" -l as-group -d 'Group to impersonate; may be repeated' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand reconcile" -l as-uid -d 'UID to impersonate' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand reconcile" -l request-timeout -d 'How long to wait for one reply, as in 1s, 2m or 3h; 0 waits for ever' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand reconcile" -l certificate-authority -d 'Path of the certificate authority that the API server\'s certificate is checked against' -r -F
complete -c tenantry -n "__fish_tenantry_using_subcommand reconcile" -l tls-server-name -d 'Name that the API server\'s certificate must carry, instead of the address' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand reconcile" -l insecure-skip-tls-verify -d 'Do not check the API server\'s certificate; makes the connection insecure'
complete -c tenantry -n "__fish_tenantry_using_subcommand reconcile" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c tenantry -n "__fish_tenantry_using_subcommand delete" -l timeout -d 'Longest wait' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand delete" -s n -l namespace -d 'Namespace of the request' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand delete" -l kubeconfig -d 'Path of the kubeconfig file; without it the files that KUBECONFIG lists, else ~/.kube/config' -r -F
complete -c tenantry -n "__fish_tenantry_using_subcommand delete" -l context -d 'Context of the kubeconfig to use' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand delete" -l cluster -d 'Cluster of the kubeconfig to use' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand delete" -l user -d 'User of the kubeconfig to use' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand delete" -s s -l server -d 'Address and port of the API server' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand delete" -l token -d 'Bearer token for the API server; other processes can see it: a kubeconfig is safer' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand delete" -l as -d 'User to impersonate' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand delete" -l as-group -d 'Group to impersonate; may be repeated' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand delete" -l as-uid -d 'UID to impersonate' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand delete" -l request-timeout -d 'How long to wait for one reply, as in 1s, 2m or 3h; 0 waits for ever' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand delete" -l certificate-authority -d 'Path of the certificate authority that the API server\'s certificate is checked against' -r -F
complete -c tenantry -n "__fish_tenantry_using_subcommand delete" -l tls-server-name -d 'Name that the API server\'s certificate must carry, instead of the address' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand delete" -s y -l yes -d 'Do not ask'
complete -c tenantry -n "__fish_tenantry_using_subcommand delete" -l wait -d 'Wait until it is gone'
complete -c tenantry -n "__fish_tenantry_using_subcommand delete" -l insecure-skip-tls-verify -d 'Do not check the API server\'s certificate; makes the connection insecure'
complete -c tenantry -n "__fish_tenantry_using_subcommand delete" -s h -l help -d 'Print help'
complete -c tenantry -n "__fish_tenantry_using_subcommand undelete" -l tenant -d 'All released databases of this tenant\'s namespace' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand undelete" -l timeout -d 'Longest wait' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand undelete" -s n -l namespace -d 'Namespace of the request' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand undelete" -l kubeconfig -d 'Path of the kubeconfig file; without it the files that KUBECONFIG lists, else ~/.kube/config' -r -F
complete -c tenantry -n "__fish_tenantry_using_subcommand undelete" -l context -d 'Context of the kubeconfig to use' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand undelete" -l cluster -d 'Cluster of the kubeconfig to use' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand undelete" -l user -d 'User of the kubeconfig to use' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand undelete" -s s -l server -d 'Address and port of the API server' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand undelete" -l token -d 'Bearer token for the API server; other processes can see it: a kubeconfig is safer' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand undelete" -l as -d 'User to impersonate' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand undelete" -l as-group -d 'Group to impersonate; may be repeated' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand undelete" -l as-uid -d 'UID to impersonate' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand undelete" -l request-timeout -d 'How long to wait for one reply, as in 1s, 2m or 3h; 0 waits for ever' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand undelete" -l certificate-authority -d 'Path of the certificate authority that the API server\'s certificate is checked against' -r -F
complete -c tenantry -n "__fish_tenantry_using_subcommand undelete" -l tls-server-name -d 'Name that the API server\'s certificate must carry, instead of the address' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand undelete" -l wait -d 'Wait until their claims have them'
complete -c tenantry -n "__fish_tenantry_using_subcommand undelete" -l insecure-skip-tls-verify -d 'Do not check the API server\'s certificate; makes the connection insecure'
complete -c tenantry -n "__fish_tenantry_using_subcommand undelete" -s h -l help -d 'Print help'
complete -c tenantry -n "__fish_tenantry_using_subcommand purge" -s n -l namespace -d 'Namespace of the request' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand purge" -l kubeconfig -d 'Path of the kubeconfig file; without it the files that KUBECONFIG lists, else ~/.kube/config' -r -F
complete -c tenantry -n "__fish_tenantry_using_subcommand purge" -l context -d 'Context of the kubeconfig to use' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand purge" -l cluster -d 'Cluster of the kubeconfig to use' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand purge" -l user -d 'User of the kubeconfig to use' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand purge" -s s -l server -d 'Address and port of the API server' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand purge" -l token -d 'Bearer token for the API server; other processes can see it: a kubeconfig is safer' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand purge" -l as -d 'User to impersonate' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand purge" -l as-group -d 'Group to impersonate; may be repeated' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand purge" -l as-uid -d 'UID to impersonate' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand purge" -l request-timeout -d 'How long to wait for one reply, as in 1s, 2m or 3h; 0 waits for ever' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand purge" -l certificate-authority -d 'Path of the certificate authority that the API server\'s certificate is checked against' -r -F
complete -c tenantry -n "__fish_tenantry_using_subcommand purge" -l tls-server-name -d 'Name that the API server\'s certificate must carry, instead of the address' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand purge" -s y -l yes -d 'Do not ask'
complete -c tenantry -n "__fish_tenantry_using_subcommand purge" -l dry-run -d 'Only say what would be done; the API server checks the change and keeps nothing'
complete -c tenantry -n "__fish_tenantry_using_subcommand purge" -l insecure-skip-tls-verify -d 'Do not check the API server\'s certificate; makes the connection insecure'
complete -c tenantry -n "__fish_tenantry_using_subcommand purge" -s h -l help -d 'Print help'
complete -c tenantry -n "__fish_tenantry_using_subcommand version" -s o -l output -d 'Output format' -r -f -a "text\t'Text for people'
json\t'JSON for programs'"
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
complete -c tenantry -n "__fish_tenantry_using_subcommand version" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c tenantry -n "__fish_tenantry_using_subcommand run; and not __fish_seen_subcommand_from operator user archive" -s n -l namespace -d 'Namespace of the request' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand run; and not __fish_seen_subcommand_from operator user archive" -l kubeconfig -d 'Path of the kubeconfig file; without it the files that KUBECONFIG lists, else ~/.kube/config' -r -F
complete -c tenantry -n "__fish_tenantry_using_subcommand run; and not __fish_seen_subcommand_from operator user archive" -l context -d 'Context of the kubeconfig to use' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand run; and not __fish_seen_subcommand_from operator user archive" -l cluster -d 'Cluster of the kubeconfig to use' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand run; and not __fish_seen_subcommand_from operator user archive" -l user -d 'User of the kubeconfig to use' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand run; and not __fish_seen_subcommand_from operator user archive" -s s -l server -d 'Address and port of the API server' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand run; and not __fish_seen_subcommand_from operator user archive" -l token -d 'Bearer token for the API server; other processes can see it: a kubeconfig is safer' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand run; and not __fish_seen_subcommand_from operator user archive" -l as -d 'User to impersonate' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand run; and not __fish_seen_subcommand_from operator user archive" -l as-group -d 'Group to impersonate; may be repeated' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand run; and not __fish_seen_subcommand_from operator user archive" -l as-uid -d 'UID to impersonate' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand run; and not __fish_seen_subcommand_from operator user archive" -l request-timeout -d 'How long to wait for one reply, as in 1s, 2m or 3h; 0 waits for ever' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand run; and not __fish_seen_subcommand_from operator user archive" -l certificate-authority -d 'Path of the certificate authority that the API server\'s certificate is checked against' -r -F
complete -c tenantry -n "__fish_tenantry_using_subcommand run; and not __fish_seen_subcommand_from operator user archive" -l tls-server-name -d 'Name that the API server\'s certificate must carry, instead of the address' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand run; and not __fish_seen_subcommand_from operator user archive" -l insecure-skip-tls-verify -d 'Do not check the API server\'s certificate; makes the connection insecure'
complete -c tenantry -n "__fish_tenantry_using_subcommand run; and not __fish_seen_subcommand_from operator user archive" -s h -l help -d 'Print help'
complete -c tenantry -n "__fish_tenantry_using_subcommand run; and not __fish_seen_subcommand_from operator user archive" -f -a "operator" -d 'The operator: turns tenants, plans, blueprints, servers, databases and microservices into what they ask for'
complete -c tenantry -n "__fish_tenantry_using_subcommand run; and not __fish_seen_subcommand_from operator user archive" -f -a "user" -d 'The user service: the users of one tenant, at /api/users'
complete -c tenantry -n "__fish_tenantry_using_subcommand run; and not __fish_seen_subcommand_from operator user archive" -f -a "archive" -d 'One verified archive of one tenant\'s database; ends with 0 when what is stored was restored and nothing differs'
complete -c tenantry -n "__fish_tenantry_using_subcommand run; and __fish_seen_subcommand_from operator" -l identity -d 'Name of this process among the candidates for leadership' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand run; and __fish_seen_subcommand_from operator" -l lease-namespace -d 'Namespace of the Lease' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand run; and __fish_seen_subcommand_from operator" -l image -d 'Image that builtin microservices run: the operator\'s own' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand run; and __fish_seen_subcommand_from operator" -l postgres-image -d 'Image of managed PostgreSQL 15 servers' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand run; and __fish_seen_subcommand_from operator" -l archive-image -d 'Image of the pods that make archives: the operator\'s own with pg_dump and pg_restore' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand run; and __fish_seen_subcommand_from operator" -l concurrency -d 'Objects of one kind that are reconciled at a time' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand run; and __fish_seen_subcommand_from operator" -l lease-seconds -d 'Seconds after which a silent leader is replaced' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand run; and __fish_seen_subcommand_from operator" -l deletion-brake -d 'Databases of a server, or tenants, whose release or deletion within 10 minutes is let through; beyond that, and beyond 10 %, it waits until somebody says that it is meant' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand run; and __fish_seen_subcommand_from operator" -l listen-address -d 'Address on which previews are asked for (tenantry plan)' -r
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
complete -c tenantry -n "__fish_tenantry_using_subcommand run; and __fish_seen_subcommand_from user" -l listen-address -d 'Address that requests are served on' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand run; and __fish_seen_subcommand_from user" -l admin-address -d 'Address of the admin port: /healthz, /readyz and /metrics' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand run; and __fish_seen_subcommand_from user" -l bindings -d 'Directory of service bindings; it must hold exactly one of type postgresql' -r -F
complete -c tenantry -n "__fish_tenantry_using_subcommand run; and __fish_seen_subcommand_from user" -l pool-min -d 'Database connections that are kept open, 1 to 100' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand run; and __fish_seen_subcommand_from user" -l pool-max -d 'Database connections that there may be, 1 to 100; the operator sees to it that all pods have room in the database\'s limit' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand run; and __fish_seen_subcommand_from user" -l acquire-within -d 'How long a request waits for a database connection, as in 500ms, 5s or 1m' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand run; and __fish_seen_subcommand_from user" -l answer-within -d 'How long a request may take' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand run; and __fish_seen_subcommand_from user" -l open-within -d 'How long to try to reach and migrate the database at the start before giving up' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand run; and __fish_seen_subcommand_from user" -l drain-within -d 'How long requests under way may still take after SIGTERM' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand run; and __fish_seen_subcommand_from user" -l log -d 'Which events are logged, for example info or tenantry=debug' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand run; and __fish_seen_subcommand_from user" -s n -l namespace -d 'Namespace of the request' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand run; and __fish_seen_subcommand_from user" -l kubeconfig -d 'Path of the kubeconfig file; without it the files that KUBECONFIG lists, else ~/.kube/config' -r -F
complete -c tenantry -n "__fish_tenantry_using_subcommand run; and __fish_seen_subcommand_from user" -l context -d 'Context of the kubeconfig to use' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand run; and __fish_seen_subcommand_from user" -l cluster -d 'Cluster of the kubeconfig to use' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand run; and __fish_seen_subcommand_from user" -l user -d 'User of the kubeconfig to use' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand run; and __fish_seen_subcommand_from user" -s s -l server -d 'Address and port of the API server' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand run; and __fish_seen_subcommand_from user" -l token -d 'Bearer token for the API server; other processes can see it: a kubeconfig is safer' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand run; and __fish_seen_subcommand_from user" -l as -d 'User to impersonate' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand run; and __fish_seen_subcommand_from user" -l as-group -d 'Group to impersonate; may be repeated' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand run; and __fish_seen_subcommand_from user" -l as-uid -d 'UID to impersonate' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand run; and __fish_seen_subcommand_from user" -l request-timeout -d 'How long to wait for one reply, as in 1s, 2m or 3h; 0 waits for ever' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand run; and __fish_seen_subcommand_from user" -l certificate-authority -d 'Path of the certificate authority that the API server\'s certificate is checked against' -r -F
complete -c tenantry -n "__fish_tenantry_using_subcommand run; and __fish_seen_subcommand_from user" -l tls-server-name -d 'Name that the API server\'s certificate must carry, instead of the address' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand run; and __fish_seen_subcommand_from user" -l insecure-skip-tls-verify -d 'Do not check the API server\'s certificate; makes the connection insecure'
complete -c tenantry -n "__fish_tenantry_using_subcommand run; and __fish_seen_subcommand_from user" -s h -l help -d 'Print help'
complete -c tenantry -n "__fish_tenantry_using_subcommand run; and __fish_seen_subcommand_from archive" -l bindings -d 'Directory of service bindings; the database to archive is the one in its directory archive' -r -F
complete -c tenantry -n "__fish_tenantry_using_subcommand run; and __fish_seen_subcommand_from archive" -l scratch -d 'Empty database on the same server that the archive is restored into to prove it' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand run; and __fish_seen_subcommand_from archive" -l restorer -d 'Login that restores into the scratch database, with the same password and no way into the database itself; the binding\'s own if not given' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand run; and __fish_seen_subcommand_from archive" -l store -d 'Where the archive goes: file:///a/mounted/folder or s3://bucket/prefix' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand run; and __fish_seen_subcommand_from archive" -l s3-endpoint -d 'Server of the bucket, as https://host:port; AWS\'s own of the region if not given' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand run; and __fish_seen_subcommand_from archive" -l s3-region -d 'Region of the bucket; us-east-1 if not given, as stores have it that know no regions' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand run; and __fish_seen_subcommand_from archive" -l s3-credentials -d 'Folder with the files accessKeyId and secretAccessKey, and sessionToken for credentials that end' -r -F
complete -c tenantry -n "__fish_tenantry_using_subcommand run; and __fish_seen_subcommand_from archive" -l s3-ca -d 'PEM file with the authorities of the server\'s certificate; the public ones if not given' -r -F
complete -c tenantry -n "__fish_tenantry_using_subcommand run; and __fish_seen_subcommand_from archive" -l name -d 'Path of the archive in the store, without ending' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand run; and __fish_seen_subcommand_from archive" -l reread -d 'Make no archive: read the one of that name again, which has to have this SHA-256' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand run; and __fish_seen_subcommand_from archive" -l tools -d 'Folder of pg_dump and pg_restore, which must not be older than the server; found by PATH if not given' -r -F
complete -c tenantry -n "__fish_tenantry_using_subcommand run; and __fish_seen_subcommand_from archive" -l report -d 'File that the report is written to' -r -F
complete -c tenantry -n "__fish_tenantry_using_subcommand run; and __fish_seen_subcommand_from archive" -l log -d 'Which events are logged, for example info or tenantry=debug' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand run; and __fish_seen_subcommand_from archive" -s n -l namespace -d 'Namespace of the request' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand run; and __fish_seen_subcommand_from archive" -l kubeconfig -d 'Path of the kubeconfig file; without it the files that KUBECONFIG lists, else ~/.kube/config' -r -F
complete -c tenantry -n "__fish_tenantry_using_subcommand run; and __fish_seen_subcommand_from archive" -l context -d 'Context of the kubeconfig to use' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand run; and __fish_seen_subcommand_from archive" -l cluster -d 'Cluster of the kubeconfig to use' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand run; and __fish_seen_subcommand_from archive" -l user -d 'User of the kubeconfig to use' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand run; and __fish_seen_subcommand_from archive" -s s -l server -d 'Address and port of the API server' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand run; and __fish_seen_subcommand_from archive" -l token -d 'Bearer token for the API server; other processes can see it: a kubeconfig is safer' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand run; and __fish_seen_subcommand_from archive" -l as -d 'User to impersonate' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand run; and __fish_seen_subcommand_from archive" -l as-group -d 'Group to impersonate; may be repeated' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand run; and __fish_seen_subcommand_from archive" -l as-uid -d 'UID to impersonate' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand run; and __fish_seen_subcommand_from archive" -l request-timeout -d 'How long to wait for one reply, as in 1s, 2m or 3h; 0 waits for ever' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand run; and __fish_seen_subcommand_from archive" -l certificate-authority -d 'Path of the certificate authority that the API server\'s certificate is checked against' -r -F
complete -c tenantry -n "__fish_tenantry_using_subcommand run; and __fish_seen_subcommand_from archive" -l tls-server-name -d 'Name that the API server\'s certificate must carry, instead of the address' -r
complete -c tenantry -n "__fish_tenantry_using_subcommand run; and __fish_seen_subcommand_from archive" -l insecure-skip-tls-verify -d 'Do not check the API server\'s certificate; makes the connection insecure'
complete -c tenantry -n "__fish_tenantry_using_subcommand run; and __fish_seen_subcommand_from archive" -s h -l help -d 'Print help'
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
