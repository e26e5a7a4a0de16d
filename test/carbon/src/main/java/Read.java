import java.io.BufferedOutputStream;
import java.io.BufferedReader;
import java.io.File;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.math.BigDecimal;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Base64;
import java.util.Iterator;
import java.util.List;

import org.apache.carbondata.core.constants.CarbonCommonConstants;
import org.apache.carbondata.core.metadata.datatype.DataType;
import org.apache.carbondata.core.metadata.datatype.DataTypes;
import org.apache.carbondata.core.metadata.schema.table.column.ColumnSchema;
import org.apache.carbondata.core.reader.CarbonHeaderReader;
import org.apache.carbondata.core.scan.expression.ColumnExpression;
import org.apache.carbondata.core.scan.expression.LiteralExpression;
import org.apache.carbondata.core.scan.expression.conditional.EqualToExpression;
import org.apache.carbondata.core.util.CarbonProperties;
import org.apache.carbondata.sdk.file.CarbonReader;
import org.apache.carbondata.sdk.file.CarbonReaderBuilder;
import org.apache.hadoop.conf.Configuration;

/**
 * Prints the rows of .carbondata files, one JSON object a line, for each line that it reads:
 * arguments separated by tabs. A line "." ends an answer, a line "! reason" one that failed.
 *
 * Arguments: --schema (name and type of each column instead of rows), --row-reader (without it flat
 * tables are read by the vector reader), --filter=COLUMN=VALUE, and a directory or files. Maps are
 * lists of [key, value]; binary is base64; decimals are text.
 */
public class Read {
  private static final StringBuilder line = new StringBuilder();
  private static PrintStream out;
  private static int tables;

  public static void main(String[] args) throws Exception {
    out = new PrintStream(new BufferedOutputStream(System.out, 1 << 16), false, "UTF-8");
    System.setOut(System.err); // the SDK must not print between the rows
    CarbonProperties.getInstance()
        .addProperty(CarbonCommonConstants.CARBON_TIMESTAMP_FORMAT, "yyyy-MM-dd HH:mm:ss.SSS");
    BufferedReader in = new BufferedReader(new InputStreamReader(System.in, "UTF-8"));
    for (String command = in.readLine(); command != null; command = in.readLine()) {
      try {
        answer(command.split("\t"));
        out.println(".");
      } catch (Throwable e) {
        e.printStackTrace();
        out.println("! " + e.toString().replace('\n', ' '));
      }
      out.flush();
    }
  }

  private static void answer(String[] args) throws Exception {
    boolean schemaOnly = false, rowReader = false;
    String[] filter = null;
    List<String> paths = new ArrayList<>();
    for (String arg : args) {
      if (arg.equals("--schema")) {
        schemaOnly = true;
      } else if (arg.equals("--row-reader")) {
        rowReader = true;
      } else if (arg.startsWith("--filter=")) {
        filter = arg.substring("--filter=".length()).split("=", 2);
      } else {
        paths.add(arg);
      }
    }
    boolean directory = new File(paths.get(0)).isDirectory();
    List<Column> fields = columns(directory ? firstFile(new File(paths.get(0))) : paths.get(0));
    if (schemaOnly) {
      for (Column c : fields) {
        out.println(c.name + "\t" + c.type());
      }
      return;
    }
    String[] names = new String[fields.size()];
    for (int i = 0; i < names.length; i++) {
      names[i] = fields.get(i).name;
    }
    CarbonReaderBuilder builder = directory
        ? CarbonReader.builder(paths.get(0), "t" + ++tables) : CarbonReader.builder().withFileLists(paths);
    if (rowReader) {
      builder.withRowRecordReader();
    }
    if (filter != null) {
      builder.filter(equal(fields, filter[0], filter[1]));
    }
    CarbonReader<Object> reader = builder.projection(names).build();
    try {
      while (reader.hasNext()) {
        row((Object[]) reader.readNextRow(), fields);
      }
    } finally {
      reader.close();
    }
  }

  private static EqualToExpression equal(List<Column> fields, String name, String text) {
    DataType of = DataTypes.STRING;
    for (Column c : fields) {
      if (c.name.equalsIgnoreCase(name)) {
        of = c.type;
      }
    }
    Object value = text;
    if (of == DataTypes.INT) {
      value = Integer.valueOf(text);
    } else if (of == DataTypes.LONG) {
      value = Long.valueOf(text);
    } else if (of == DataTypes.FLOAT) {
      value = Float.valueOf(text);
    } else if (of == DataTypes.DOUBLE) {
      value = Double.valueOf(text);
    } else if (of == DataTypes.BOOLEAN) {
      value = Boolean.valueOf(text);
    } else if (DataTypes.isDecimal(of)) {
      value = new BigDecimal(text);
    } else if (of == DataTypes.BINARY) {
      value = Base64.getDecoder().decode(text);
    }
    return new EqualToExpression(new ColumnExpression(name, of), new LiteralExpression(value, of));
  }

  private static void row(Object[] row, List<Column> fields) {
    line.setLength(0);
    line.append('{');
    for (int i = 0; i < row.length; i++) {
      line.append(i == 0 ? "" : ",");
      quote(fields.get(i).name);
      line.append(':');
      value(row[i], fields.get(i));
    }
    out.println(line.append('}'));
  }

  private static String firstFile(File dir) {
    File[] all = dir.listFiles();
    Arrays.sort(all);
    for (File f : all) {
      String found = f.isDirectory() ? firstFile(f) : f.getName().endsWith(".carbondata") ? f.getPath() : null;
      if (found != null) {
        return found;
      }
    }
    return null;
  }

  private static List<Column> columns(String file) throws Exception {
    List<Column> all = new ArrayList<>();
    Iterator<ColumnSchema> list = new CarbonHeaderReader(file, new Configuration()).readSchema().iterator();
    while (list.hasNext()) {
      all.add(new Column(list));
    }
    all.sort((x, y) -> Integer.compare(x.ordinal, y.ordinal));
    return all;
  }

  /** A column with its children, which follow it in the header of a file. */
  private static class Column {
    final String name;
    final DataType type;
    final int ordinal, precision, scale;
    final List<Column> children = new ArrayList<>();

    Column(Iterator<ColumnSchema> list) {
      ColumnSchema schema = list.next();
      name = schema.getColumnName();
      type = schema.getDataType();
      ordinal = schema.getSchemaOrdinal();
      precision = schema.getPrecision();
      scale = schema.getScale();
      for (int i = 0; i < schema.getNumberOfChild(); i++) {
        children.add(new Column(list));
      }
    }

    String type() {
      StringBuilder b = new StringBuilder();
      if (DataTypes.isArrayType(type)) {
        return "array<" + children.get(0).type() + ">";
      } else if (DataTypes.isMapType(type)) {
        List<Column> pair = children.get(0).children;
        return "map<" + pair.get(0).type() + "," + pair.get(1).type() + ">";
      } else if (DataTypes.isStructType(type)) {
        for (Column c : children) {
          b.append(b.length() == 0 ? "" : ",").append(c.last()).append(':').append(c.type());
        }
        return "struct<" + b + ">";
      } else if (DataTypes.isDecimal(type)) {
        return "decimal(" + precision + "," + scale + ")";
      }
      return type.getName().toLowerCase();
    }

    String last() {
      return name.substring(name.lastIndexOf('.') + 1);
    }
  }

  private static void value(Object v, Column c) {
    if (v == null) {
      line.append("null");
    } else if (DataTypes.isArrayType(c.type)) {
      list((Object[]) v, c.children.get(0));
    } else if (DataTypes.isMapType(c.type)) {
      List<Column> kinds = c.children.get(0).children;
      Object[] keys = (Object[]) ((Object[]) v)[0], values = (Object[]) ((Object[]) v)[1];
      line.append('[');
      for (int i = 0; i < keys.length; i++) {
        line.append(i == 0 ? "[" : ",[");
        value(keys[i], kinds.get(0));
        line.append(',');
        value(values[i], kinds.get(1));
        line.append(']');
      }
      line.append(']');
    } else if (DataTypes.isStructType(c.type)) {
      Object[] items = (Object[]) v;
      line.append('{');
      for (int i = 0; i < items.length; i++) {
        line.append(i == 0 ? "" : ",");
        quote(c.children.get(i).last());
        line.append(':');
        value(items[i], c.children.get(i));
      }
      line.append('}');
    } else if (v instanceof byte[]) {
      quote(Base64.getEncoder().encodeToString((byte[]) v));
    } else if (v instanceof BigDecimal) {
      quote(((BigDecimal) v).toPlainString());
    } else if (v instanceof Number || v instanceof Boolean) {
      line.append(v);
    } else {
      quote(v.toString()); // strings; dates and timestamps where the SDK makes text of them
    }
  }

  private static void list(Object[] items, Column c) {
    line.append('[');
    for (int i = 0; i < items.length; i++) {
      line.append(i == 0 ? "" : ",");
      value(items[i], c);
    }
    line.append(']');
  }

  private static void quote(String s) {
    line.append('"');
    for (int i = 0; i < s.length(); i++) {
      char c = s.charAt(i);
      if (c == '"' || c == '\\') {
        line.append('\\').append(c);
      } else if (c < ' ') {
        line.append(String.format("\\u%04x", (int) c));
      } else {
        line.append(c);
      }
    }
    line.append('"');
  }
}
