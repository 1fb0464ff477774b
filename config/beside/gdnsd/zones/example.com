@ SOA ns1 hostmaster 1 7200 1800 1209600 900
@ NS ns1
@ NS ns2
ns1 A 192.0.2.53
ns2 A 198.51.100.53
www 30 DYNA multifo!www
www-once 30 DYNA multifo!www_once
