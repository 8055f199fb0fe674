// What pgjdbc's DatabaseMetaData asks. Usage: java -cp postgresql.jar Metadata.java CASE
import java.sql.*;
import java.util.Properties;

class Metadata {
    public static void main(String[] arguments) throws Exception {
        String url = "jdbc:postgresql://" + System.getenv("PGHOST") + ":" + System.getenv("PGPORT") + "/tarn";
        Properties properties = new Properties();
        properties.setProperty("user", System.getenv("PGUSER"));
        try (Connection connection = DriverManager.getConnection(url, properties)) {
            DatabaseMetaData meta = connection.getMetaData();
            ResultSet rows = switch (arguments[0]) {
                case "connect" -> null;
                case "getCatalogs" -> meta.getCatalogs();
                case "getSchemas" -> meta.getSchemas();
                case "getSchemasLike" -> meta.getSchemas(null, "r%");
                case "getTables" -> meta.getTables(null, null, "%", null);
                case "getTablesOfKinds" -> meta.getTables("tarn", "raw", "t%", new String[] {"TABLE", "VIEW", "MATERIALIZED VIEW", "PARTITIONED TABLE"});
                case "getTableTypes" -> meta.getTableTypes();
                case "getColumns" -> meta.getColumns(null, "raw", "tx", "%");
                case "getColumnsAll" -> meta.getColumns(null, null, "labels", null);
                case "getPrimaryKeys" -> meta.getPrimaryKeys(null, "raw", "tx");
                case "getImportedKeys" -> meta.getImportedKeys(null, "raw", "tx");
                case "getExportedKeys" -> meta.getExportedKeys(null, "raw", "tx");
                case "getIndexInfo" -> meta.getIndexInfo(null, "raw", "tx", false, true);
                case "getTypeInfo" -> meta.getTypeInfo();
                case "getTablePrivileges" -> meta.getTablePrivileges(null, "raw", "tx");
                case "getColumnPrivileges" -> meta.getColumnPrivileges(null, "raw", "tx", "%");
                case "getBestRowIdentifier" -> meta.getBestRowIdentifier(null, "raw", "tx", 0, true);
                case "getVersionColumns" -> meta.getVersionColumns(null, "raw", "tx");
                case "getFunctions" -> meta.getFunctions(null, "features", "%");
                case "getFunctionColumns" -> meta.getFunctionColumns(null, "features", "%", "%");
                case "getProcedures" -> meta.getProcedures(null, "features", "%");
                case "getUDTs" -> meta.getUDTs(null, null, "%", null);
                case "getClientInfoProperties" -> meta.getClientInfoProperties();
                case "getMaxNameLength" -> { meta.getMaxColumnNameLength(); yield null; }
                case "getSQLKeywords" -> { meta.getSQLKeywords(); yield null; }
                case "getFunctionNames" -> { meta.getNumericFunctions(); meta.getDatabaseProductVersion(); yield null; }
                case "resultSetMetaData" -> {
                    ResultSet read = connection.createStatement().executeQuery("SELECT tx_id, amount, tags FROM raw.tx");
                    ResultSetMetaData columns = read.getMetaData();
                    for (int i = 1; i <= columns.getColumnCount(); i++) {
                        columns.getColumnTypeName(i); columns.isAutoIncrement(i); columns.isNullable(i); columns.getColumnClassName(i);
                    }
                    yield null;
                }
                case "unknownType" -> { connection.createStatement().executeQuery("SELECT 'a'::name, 'pg_class'::regclass, '{1}'::oid[]").getMetaData().getColumnTypeName(3); yield null; }
                case "setCatalogSchema" -> { connection.setSchema("raw"); connection.getSchema(); connection.isValid(1); yield null; }
                default -> throw new IllegalArgumentException(arguments[0]);
            };
            if (rows != null) while (rows.next()) { rows.getString(1); }
        }
    }
}
