-- What a dashboard's tiles ask, in the dialect that DuckDB and Tarn share: counts, sums and tops over a
-- range of time, a customer's page, a distribution.

SELECT count(*), sum(o_totalprice) FROM orders WHERE o_orderdate >= DATE '1998-07-01';

SELECT o_orderdate, count(*), sum(o_totalprice) FROM orders
WHERE o_orderdate >= DATE '1998-07-01' GROUP BY o_orderdate ORDER BY o_orderdate;

SELECT o_orderpriority, count(*) FROM orders WHERE o_orderdate BETWEEN DATE '1997-01-01' AND DATE '1997-03-31'
GROUP BY o_orderpriority ORDER BY o_orderpriority;

SELECT c_mktsegment, count(*), avg(c_acctbal) FROM customer GROUP BY c_mktsegment ORDER BY c_mktsegment;

SELECT c_name, c_acctbal FROM customer ORDER BY c_acctbal DESC, c_name LIMIT 10;

SELECT n_name, count(*) FROM customer JOIN nation ON c_nationkey = n_nationkey GROUP BY n_name ORDER BY n_name;

SELECT o_orderkey, o_orderdate, o_totalprice FROM orders WHERE o_custkey = 7381 ORDER BY o_orderdate;

SELECT l_shipmode, count(*), sum(l_quantity) FROM lineitem
WHERE l_shipdate >= DATE '1998-09-01' GROUP BY l_shipmode ORDER BY l_shipmode;

SELECT l_returnflag, sum(l_extendedprice * (1 - l_discount)) FROM lineitem
WHERE l_shipdate BETWEEN DATE '1998-01-01' AND DATE '1998-01-31' GROUP BY l_returnflag ORDER BY l_returnflag;

SELECT p_brand, count(*) FROM part WHERE p_size > 40 GROUP BY p_brand ORDER BY count(*) DESC, p_brand LIMIT 5;

SELECT s_name, s_acctbal FROM supplier WHERE s_acctbal > 9900 ORDER BY s_acctbal DESC;

SELECT r_name, sum(o_totalprice) FROM orders
JOIN customer ON o_custkey = c_custkey JOIN nation ON c_nationkey = n_nationkey JOIN region ON n_regionkey = r_regionkey
WHERE o_orderdate >= DATE '1998-01-01' GROUP BY r_name ORDER BY r_name;
